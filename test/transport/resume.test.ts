import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Received, SocketGuest, StreamGuest } from '../helpers/guest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const KIB = 1024;
const MAX_BUFFERED_BYTES = 64 * KIB;

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    rooms: [
      { match: 'brief*', history: 2 },
      { match: '*', history: 1000 },
    ],
    limits: { maxBufferedBytes: MAX_BUFFERED_BYTES },
  });
});
afterAll(() => server.stop());

/** What somebody gets who comes back. */
interface Missed {
  readonly resumed: boolean | null;
  readonly messages: readonly Received[];
}

const say = async (room: string, data: unknown) =>
  (await server.belfry.publish({ target: { rooms: [room] }, data })).id ?? '';
const url = (room: string, since?: string) =>
  `${server.url}/rooms/${room}${since === undefined ? '' : `?since=${since}`}`;

/** What had come in when something live came: a replay is over by then. */
async function untilLive(guest: SocketGuest | StreamGuest, room: string): Promise<readonly Received[]> {
  await say(room, 'live');
  await guest.next(({ data, replay }) => data === 'live' && !replay);
  return guest.rest.filter(({ event }) => event === 'message');
}

async function hello(guest: SocketGuest | StreamGuest, room: string): Promise<Missed> {
  const { data } = await guest.event('hello');
  const messages = await untilLive(guest, room);
  await guest.leave();
  return { resumed: data.resumed[room], messages };
}

async function asJson(address: string, headers: Record<string, string> = {}): Promise<Missed> {
  const response = await fetch(address, { headers });
  // The contract's form of it.
  const { resumed, events } = (await response.json()) as { resumed: boolean; events: Received[] };
  return { resumed, messages: events };
}

async function bySubscribing(room: string, since: string): Promise<Missed> {
  const guest = new SocketGuest(url('elsewhere'));
  await guest.event('hello');
  const { data } = await guest.ask({ action: 'subscribe', room, since });
  const messages = await untilLive(guest, room);
  await guest.leave();
  return { resumed: data.resumed, messages };
}

/** All the ways of saying where one stood. */
const WAYS: readonly [string, (room: string, since: string) => Promise<Missed>][] = [
  ['WebSocket with since', (room, since) => hello(new SocketGuest(url(room, since)), room)],
  [
    'WebSocket with Last-Event-ID',
    (room, since) => hello(new SocketGuest(url(room), { headers: { 'Last-Event-ID': since } }), room),
  ],
  ['SSE with since', (room, since) => hello(new StreamGuest(url(room, since)), room)],
  [
    'SSE with Last-Event-ID',
    (room, since) => hello(new StreamGuest(url(room), { 'Last-Event-ID': since }), room),
  ],
  ['JSON with since', (room, since) => asJson(url(room, since))],
  ['JSON with Last-Event-ID', (room, since) => asJson(url(room), { 'Last-Event-ID': since })],
  ['subscribe with since', bySubscribing],
];

describe.each(WAYS)('coming back by %s', (way, comeBack) => {
  const own = (name: string) => `${name}-${WAYS.findIndex(([other]) => other === way)}`;

  it('brings each missed message once and in order', async () => {
    const room = own('lobby');
    const ids: string[] = [];
    for (const n of [0, 1, 2, 3, 4]) ids.push(await say(room, n));
    const { resumed, messages } = await comeBack(room, ids[1] ?? '');
    expect(resumed).toBe(true);
    expect(messages.map(({ id, data }) => [id, data])).toEqual([
      [ids[2], 2],
      [ids[3], 3],
      [ids[4], 4],
    ]);
  });

  it('brings nothing where nothing was missed', async () => {
    const room = own('quiet');
    expect(await comeBack(room, await say(room, 0))).toEqual({ resumed: true, messages: [] });
  });

  it('brings what is kept and tells of the gap where some is not kept any more', async () => {
    const room = own('brief');
    const first = await say(room, 0);
    for (const n of [1, 2, 3]) await say(room, n);
    const { resumed, messages } = await comeBack(room, first);
    expect(resumed).toBe(false);
    expect(messages.map(({ data }) => data)).toEqual([2, 3]);
  });

  it('takes an id that nobody gave out for a gap', async () => {
    const room = own('strange');
    await say(room, 0);
    const { resumed, messages } = await comeBack(room, 'another-1');
    expect(resumed).toBe(false);
    expect(messages.map(({ data }) => data)).toEqual([0]);
  });
});

describe.each(WAYS.filter(([way]) => !way.startsWith('JSON')))('a long replay by %s', (way, comeBack) => {
  it('is cut to half of maxBufferedBytes, the newest, and told as a gap', async () => {
    const room = `long-${WAYS.findIndex(([other]) => other === way)}`;
    const since = await say(room, 'before');
    for (let n = 0; n < 60; n++) await say(room, `${n}`.padEnd(KIB));
    const { resumed, messages } = await comeBack(room, since);
    expect(resumed).toBe(false);
    const numbers = messages.map(({ data }) => Number.parseInt(data, 10));
    expect(numbers).toEqual(Array.from(numbers, (_, index) => 60 - numbers.length + index));
    const bytes = messages.reduce((sum, message) => sum + JSON.stringify(message).length, 0);
    expect(bytes).toBeLessThanOrEqual(MAX_BUFFERED_BYTES / 2);
    expect(bytes).toBeGreaterThan(MAX_BUFFERED_BYTES / 2 - 2 * KIB);
  });
});

it('polling with limit and last brings all of it, page by page, also what comes meanwhile', async () => {
  let since = await say('paged', 'before');
  for (let n = 0; n < 10; n++) await say('paged', n);
  const seen: unknown[] = [];
  for (let page = 0; page < 5; page++) {
    const response = await fetch(`${url('paged', since)}&limit=3`);
    // The contract's form of it.
    const body = (await response.json()) as { last: string; resumed: boolean; events: Received[] };
    expect(body.resumed).toBe(true);
    expect(body.events.length).toBeLessThanOrEqual(3);
    seen.push(...body.events.map(({ data }) => data));
    since = body.last;
    if (page === 1) await say('paged', 10);
  }
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
