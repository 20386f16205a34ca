import ipaddr from 'ipaddr.js';

/** Whether only this machine is meant: a loopback address, IPv4 in IPv6 as well, or the name for one. */
export function isLoopback(host: string): boolean {
  if (ipaddr.isValid(host)) return ipaddr.process(host).range() === 'loopback';
  return host.toLowerCase() === 'localhost';
}
