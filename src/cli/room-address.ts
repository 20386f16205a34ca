import { isRoomName } from '../hub/event.ts';

/** Where `belfry watch` looks when it is told nothing else. */
export const DEFAULT_URL = 'ws://127.0.0.1:8080/rooms/lobby';

const PROTOCOLS: Readonly<Record<string, string>> = {
  'http:': 'ws:',
  'https:': 'wss:',
  'ws:': 'ws:',
  'wss:': 'wss:',
};

/**
 * Makes a WebSocket address of what somebody typed: a URL (http or ws, with or without the s; the
 * bare host is its lobby), a path (`/rooms/lobby`) or a room's name, both on the default host.
 * Throws an `Error` that says what would be accepted.
 */
export function roomAddress(typed: string): URL {
  if (isRoomName(typed)) return new URL(`/rooms/${typed}`, DEFAULT_URL);
  const url = URL.canParse(typed, DEFAULT_URL) ? new URL(typed, DEFAULT_URL) : undefined;
  const protocol = PROTOCOLS[url?.protocol ?? ''];
  if (!url || !protocol || !(typed.startsWith('/') || typed.includes('://')))
    throw new Error(`${JSON.stringify(typed)} is no address: write a room, /rooms/lobby or ${DEFAULT_URL}`);
  url.protocol = protocol;
  url.hash = '';
  if (url.pathname === '/') url.pathname = '/rooms/lobby';
  return url;
}
