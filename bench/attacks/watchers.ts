import { Client } from '../load/client.ts';
import { serveCalls } from '../remote.ts';
import { spread } from '../statistics.ts';
import type { WatchersApi } from './api.ts';

const EVERY_MS = 1000;
const AT_ONCE = 50;
const DUE = '"due":"';
const PREVIOUS = '"previous":"';
/** Of an instant, as the server writes it. */
const INSTANT_LENGTH = '2026-11-20T18:00:03.001Z'.length;

interface Watcher {
  client: Client | undefined;
  newestDue: number;
  /** Instants heard of since `begin`. */
  dues: Set<number>;
}

const watchers: Watcher[] = [];
let fromMs = Number.POSITIVE_INFINITY;
let missed = 0;
let receivedMs: number[] = [];

function hear(watcher: Watcher, bytes: Buffer, start: number, end: number): void {
  const due = instantBehind(DUE, bytes, start, end);
  if (due === undefined) return;
  const previous = instantBehind(PREVIOUS, bytes, start, end);
  if (previous !== undefined && watcher.newestDue > 0 && previous > watcher.newestDue) missed++;
  watcher.newestDue = Math.max(watcher.newestDue, due);
  if (due <= fromMs) return;
  watcher.dues.add(due);
  receivedMs.push(performance.timeOrigin + performance.now() - due);
}

function instantBehind(key: string, bytes: Buffer, start: number, end: number): number | undefined {
  const found = bytes.indexOf(key, start);
  const from = found + key.length;
  if (found < 0 || from + INSTANT_LENGTH > end) return undefined;
  return Date.parse(bytes.toString('latin1', from, from + INSTANT_LENGTH));
}

serveCalls<WatchersApi>({
  async open({ port, count, room, isProxy }) {
    let next = 0;
    const openSome = async () => {
      while (next < count) {
        const number = next++;
        const watcher: Watcher = { client: undefined, newestDue: 0, dues: new Set() };
        watchers.push(watcher);
        watcher.client = new Client({
          transport: 'websocket',
          port,
          path: `/rooms/${room}`,
          stalls: false,
          headers: isProxy ? `X-Forwarded-For: 198.18.${number >> 8}.${number & 255}\r\n` : '',
          onEvent: (bytes, start, end) => hear(watcher, bytes, start, end),
        });
        await watcher.client.opened;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, openSome));
  },
  begin() {
    fromMs = Date.now();
    missed = 0;
    receivedMs = [];
    for (const { dues } of watchers) dues.clear();
  },
  end({ untilMs }) {
    const instants = Math.floor(untilMs / EVERY_MS) - Math.floor(fromMs / EVERY_MS);
    const heard = watchers.map(({ dues }) => [...dues].filter((due) => due <= untilMs).length);
    const seen = {
      missed,
      absent: heard.reduce((sum, count) => sum + Math.max(instants - count, 0), 0),
      gone: watchers.filter(({ client }) => client?.ended).length,
      ...(receivedMs.length > 0 && { p99Ms: spread(receivedMs).p99 }),
    };
    fromMs = Number.POSITIVE_INFINITY;
    return seen;
  },
});
