import { isObject } from './document.ts';
import { ConfigError, type Fault } from './faults.ts';
import { hostFault, isHost } from './host.ts';

export interface Overrides {
  /** `--host`. */
  readonly host?: string;
  /** `--port`, as it was typed or already a number. */
  readonly port?: string | number;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Puts what the flags and the environment say over what the file says; flags win. An empty variable
 * counts as not set. Throws a `ConfigError` that names where a wrong value came from.
 */
export function applyOverrides(document: unknown, { host, port, env }: Overrides): unknown {
  const faults: Fault[] = [];
  const server: { host?: string; port?: number } = {};
  const newHost = (host ?? (env.BELFRY_HOST || undefined))?.replace(/^\[(.*)\]$/, '$1');
  const newPort = port ?? (env.BELFRY_PORT || undefined);
  if (newHost !== undefined) {
    if (!isHost(newHost)) {
      faults.push({
        source: host === undefined ? 'BELFRY_HOST' : '--host',
        path: '',
        message: hostFault(newHost),
      });
    }
    server.host = newHost;
  }
  if (newPort !== undefined) {
    if (!/^\d{1,5}$/.test(String(newPort)) || Number(newPort) > 65_535) {
      const message = `"${newPort}" is not a port: write a whole number from 0 to 65535`;
      faults.push({ source: port === undefined ? 'BELFRY_PORT' : '--port', path: '', message });
    }
    server.port = Number(newPort);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return merge(document, server);
}

/** What is not an object stays as it is: parsing tells what is wrong with it. */
function merge(document: unknown, server: object): unknown {
  if (Object.keys(server).length === 0 || !isObject(document)) return document;
  const own = document.server ?? {};
  return isObject(own) ? { ...document, server: { ...own, ...server } } : document;
}
