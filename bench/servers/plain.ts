import { serve } from '@hono/node-server';
import { createNodeWebSocket } from '@hono/node-ws';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { WSContext } from 'hono/ws';
import { serveCalls } from '../remote.ts';

/** What the plain server can be asked for. */
export interface PlainApi {
  /** Answers the port. */
  listen(): Promise<number>;
  /** Sends so many ticks to everybody at each instant. */
  tick(options: { everyMs: number; ticks: number }): void;
  /** Sends a text of this size to everybody in a room, now. */
  broadcast(options: { room: string; bytes: number }): void;
  stop(): void;
}

type Send = (text: string) => unknown;

/**
 * What one would write in an afternoon with the same libraries: a set of subscribers for each room,
 * and `send` for each of them.
 */
const rooms = new Map<string, Set<Send>>();
let timer: NodeJS.Timeout | undefined;

function join(room: string, send: Send): () => void {
  const members = rooms.get(room) ?? new Set();
  rooms.set(room, members.add(send));
  return () => members.delete(send);
}

function tick(everyMs: number, ticks: number): void {
  const now = Date.now();
  const due = Math.ceil((now + 1) / everyMs) * everyMs;
  timer = setTimeout(() => {
    for (let number = 0; number < ticks; number++) {
      for (const [room, members] of rooms) {
        const text = tickText(room, `clock-${number}`, due, everyMs);
        for (const send of members) send(text);
      }
    }
    tick(everyMs, ticks);
  }, due - now);
}

/** The same bytes that Belfry sends. */
function tickText(room: string, schedule: string, due: number, everyMs: number): string {
  const unixMs = Date.now();
  const iso = new Date(unixMs).toISOString();
  const local = iso.replace('Z', '+00:00');
  const instant = (ms: number) => new Date(ms).toISOString();
  return JSON.stringify({
    room,
    event: 'time',
    time: iso,
    data: { iso, unixMs, timezone: 'UTC', local },
    tick: {
      schedule,
      due: instant(due),
      previous: instant(due - everyMs),
      next: instant(due + everyMs),
      seq: Math.floor(due / everyMs),
    },
  });
}

function listen(): Promise<number> {
  const app = new Hono();
  const { injectWebSocket, upgradeWebSocket } = createNodeWebSocket({ app });
  app.get(
    '/rooms/:room',
    upgradeWebSocket((c) => {
      let leave = () => {};
      return {
        onOpen(_event, socket: WSContext) {
          leave = join(c.req.param('room') ?? '', (text) => socket.send(text));
        },
        onClose: () => leave(),
      };
    }),
    (c) =>
      streamSSE(c, async (stream) => {
        const leave = join(c.req.param('room'), (data) => stream.writeSSE({ data }));
        await new Promise<void>((resolve) => stream.onAbort(resolve));
        leave();
      }),
  );
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port));
    injectWebSocket(server);
  });
}

serveCalls<PlainApi>({
  listen,
  tick: ({ everyMs, ticks }) => tick(everyMs, ticks),
  broadcast: ({ room, bytes }) => {
    const time = new Date().toISOString();
    const text = JSON.stringify({ room, event: 'message', time, data: 'x'.repeat(bytes) });
    for (const send of rooms.get(room) ?? []) send(text);
  },
  stop: () => clearTimeout(timer),
});
