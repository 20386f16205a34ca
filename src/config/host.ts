import ipaddr from 'ipaddr.js';
import { shown } from './faults.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Whether a server can be told to listen there: an address, or a name that stands for one. */
export function isHost(text: string): boolean {
  return ipaddr.isValid(text) || NAME.test(text);
}

export function hostFault(text: string): string {
  return `${shown(text)} is not a host: write an address or a name, such as "0.0.0.0"`;
}

/** Whether only this machine can connect to a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  if (ipaddr.isValid(host)) return ipaddr.process(host).range() === 'loopback';
  return host.toLowerCase() === 'localhost';
}
