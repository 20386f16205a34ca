// biome-ignore-all lint/suspicious/noTemplateCurlyInString: what feeds write for a variable.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findConfig } from '../src/config/load.ts';
import { type Received, SocketGuest, StreamGuest } from './helpers/guest.ts';
import { startServer, type TestServer } from './helpers/server.ts';

const CLOCK = { name: 'clock', every: '100ms', feed: { type: 'time' } };
const MARKET = { name: 'market', every: '1h', feed: { type: 'message', data: 1 } };
const OPS = { name: 'ops', token: 'ops-token-of-the-tests', role: 'operator' };
const GUEST = { name: 'guest', token: 'guest-token-of-the-tests', role: 'viewer' };
/** As `startServer` has it: where a server listens does not change while it runs. */
const AT = { port: 0, drainSeconds: 0 };
const FIRST = { server: AT, admin: { tokens: [OPS, GUEST] }, schedules: [CLOCK] };

let folder: string;
let path: string;
let server: TestServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'belfry-reload-'));
  path = join(folder, 'belfry.json');
  const read = () => findConfig({ path, env: {}, cwd: folder }).document;
  server = await startServer(FIRST, { source: { label: 'belfry.json', read } });
});

afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** Writes a file, as text or bytes as they are and all else as JSON, and has it read. */
async function reload(content: unknown) {
  const isRaw = typeof content === 'string' || Buffer.isBuffer(content);
  writeFileSync(path, isRaw ? content : JSON.stringify(content));
  return call('POST', '/admin/reload');
}

async function call(method: string, address: string, { token } = OPS) {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(server.url + address, { method, headers });
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
  return { status: response.status, body: (await response.json()) as any };
}

const enter = async (room: string) => {
  const guest = new SocketGuest(`${server.url}/rooms/${room}`);
  await guest.event('hello');
  return guest;
};

describe('a reload', () => {
  it('answers what became of the schedules, and shows what is in force', async () => {
    const changed = { ...CLOCK, every: '2s' };
    expect((await reload({ ...FIRST, schedules: [changed, MARKET] })).body).toMatchObject({
      added: ['market'],
      changed: ['clock'],
      removed: [],
      kept: [],
    });
    expect((await reload({ ...FIRST, schedules: [MARKET] })).body).toMatchObject({
      added: [],
      changed: [],
      removed: ['clock'],
      kept: ['market'],
    });
    const { config, faults } = (await call('GET', '/admin/config')).body;
    expect(config.schedules).toMatchObject([{ name: 'market' }]);
    expect(faults).toEqual([]);
  });

  it('says what needs a restart, and takes the rest', async () => {
    const { body } = await reload({ ...FIRST, server: { ...AT, host: 'localhost', port: 1 }, schedules: [] });
    expect(body.needsRestart).toEqual(['server.host', 'server.port']);
    expect(body.removed).toEqual(['clock']);
    expect((await reload({ ...FIRST, store: {} })).body.needsRestart).toEqual(['store']);
    expect((await call('GET', '/admin/config')).body.config.store).toBeUndefined();
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });

  it('stops a token that was removed at once, and takes one that was added', async () => {
    expect((await call('GET', '/admin/rooms', GUEST)).status).toBe(200);
    await reload({ ...FIRST, admin: { tokens: [OPS] } });
    expect((await call('GET', '/admin/rooms', GUEST)).status).toBe(401);
    await reload(FIRST);
    expect((await call('GET', '/admin/rooms', GUEST)).status).toBe(200);
  });

  it('holds for rules of rooms, limits and origins from the next request on', async () => {
    const from = (origin: string, room: string) =>
      fetch(`${server.url}/rooms/${room}`, { headers: { origin } }).then(({ status }) => status);
    const guest = await enter('lobby');
    const say = (data: string) => guest.ask({ action: 'publish', data });
    expect((await say('hello')).error?.status).toBe(403);
    expect(await from('https://wall.example', 'lobby')).toBe(403);
    await reload({
      ...FIRST,
      server: { ...AT, allowedOrigins: ['https://wall.example'] },
      rooms: [
        { match: 'lobby', publish: 'members' },
        { match: 'cellar', subscribe: 'nobody' },
      ],
      limits: { eventBytes: 100 },
    });
    expect((await say('hello')).error).toBeUndefined();
    expect((await say('x'.repeat(200))).error?.status).toBe(413);
    expect(await from('https://wall.example', 'lobby')).toBe(200);
    expect(await from('https://wall.example', 'cellar')).toBe(403);
    expect(guest.socket.readyState).toBe(guest.socket.OPEN);
  });

  it('a hundred times closes nobody, and leaves no hole in any chain and no message out', async () => {
    const rooms = ['a', 'b'];
    const guests = rooms.flatMap((room) => {
      const url = `${server.url}/rooms/${room}`;
      return [new SocketGuest(url), new SocketGuest(url), new StreamGuest(url)];
    });
    await Promise.all(guests.map((guest) => guest.event('hello')));
    for (let n = 1; n <= 100; n++) {
      const { status } = await reload({
        ...FIRST,
        schedules: [
          CLOCK,
          { ...CLOCK, name: 'cadence', every: n % 2 ? '100ms' : '150ms' },
          { ...CLOCK, name: 'feed', feed: { type: 'message', data: n } },
          { ...CLOCK, name: 'rooms', rooms: [n % 3 ? '*' : 'a'] },
          { ...CLOCK, name: 'paused', paused: n % 4 === 0 },
          ...(n % 5 < 3 ? [{ ...CLOCK, name: 'visitor' }] : []),
        ],
      });
      expect(status).toBe(200);
      await server.belfry.publish({ target: { rooms }, data: n });
    }
    await server.belfry.publish({ target: { rooms }, data: 'over' });
    for (const guest of guests) {
      await guest.next(({ data }) => data === 'over');
      const messages = guest.rest.filter(({ event, id }) => event === 'message' && id !== undefined);
      expect(messages.map(({ data }) => data)).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
      expect(holes(guest.rest)).toEqual([]);
      expect(guest.rest.filter(({ event }) => event === 'closing')).toEqual([]);
      await guest.leave();
    }
  });
});

describe('a file that is broken', () => {
  const scheduled = (more: object) => ({ ...FIRST, schedules: [CLOCK, { ...MARKET, ...more }] });

  it('has a token too short for where the server listens, whatever address it names', async () => {
    await server.stop();
    const short = { ...FIRST, admin: { tokens: [{ ...OPS, token: 'fifteen-letters' }] } };
    const source = { label: 'belfry.json', read: () => short };
    server = await startServer({ ...FIRST, server: { host: '0.0.0.0' } }, { source });
    await expect(server.belfry.reload()).rejects.toThrow(
      'admin.tokens[0].token: is too short for server.host "0.0.0.0"',
    );
  });

  it.each<[string, unknown, string]>([
    ['is empty', '', ''],
    ['is half written', '{"schedules":[{"name":"clo', ''],
    ['has a comma too many', '{"schedules":[],}', ''],
    ['has a key twice', '{"rooms":[],"rooms":[]}', ''],
    ['is not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), ''],
    ['is a list', [], ''],
    ['has a key that nobody knows', { ...FIRST, shedules: [] }, ''],
    ['has such a key further in', { ...FIRST, server: { ...AT, prot: 1 } }, 'server'],
    ['has a port in quotes', { ...FIRST, server: { port: '80' } }, 'server.port'],
    [
      'has a pattern for an origin',
      { ...FIRST, server: { allowedOrigins: ['x/'] } },
      'server.allowedOrigins[0]',
    ],
    ['has a short token', { ...FIRST, admin: { tokens: [{ ...OPS, token: '' }] } }, 'admin.tokens[0].token'],
    [
      'names a variable that is not set',
      { ...FIRST, admin: { tokens: [{ name: 'ops', tokenEnv: 'OPS_TOKEN', role: 'operator' }] } },
      'admin.tokens[0].tokenEnv',
    ],
    [
      'has a role that is none',
      { ...FIRST, admin: { tokens: [{ ...OPS, role: 'king' }] } },
      'admin.tokens[0].role',
    ],
    ['has a rule without a room', { ...FIRST, rooms: [{ publish: 'nobody' }] }, 'rooms[0].match'],
    [
      'has a rule that lets nobody decide',
      { ...FIRST, rooms: [{ match: '*', publish: 'x' }] },
      'rooms[0].publish',
    ],
    ['has a negative limit', { ...FIRST, limits: { rooms: -1 } }, 'limits.rooms'],
    ['has a number for a duration', scheduled({ every: 3 }), 'schedules[1].every'],
    ['has an interval that is too short', scheduled({ every: '5ms' }), 'schedules[1].every'],
    ['has a cadence twice', scheduled({ cron: '* * * * *' }), 'schedules[1]'],
    ['has a calendar of 25 hours', scheduled({ every: undefined, cron: '0 25 * * *' }), 'schedules[1].cron'],
    ['has a name twice', scheduled({ name: 'clock' }), 'schedules[1].name'],
    ['has a feed of no kind', scheduled({ feed: { type: 'tiem' } }), 'schedules[1].feed.type'],
    [
      'has a zone on Mars',
      scheduled({ feed: { type: 'time', timezone: 'Mars' } }),
      'schedules[1].feed.timezone',
    ],
    [
      'has a header from nowhere',
      scheduled({ feed: { type: 'http', url: 'http://x', headers: { a: '${NONE}' } } }),
      'schedules[1].feed.headers.a',
    ],
  ])('since it %s is refused with its place, and the old one goes on', async (_how, content, place) => {
    const { status, body } = await reload(content);
    expect(status).toBe(422);
    expect(body.errors.map((fault: { path: string }) => fault.path)).toEqual([place]);
    expect((await call('GET', '/admin/config')).body.faults).toEqual(body.errors);
    expect(server.logged.some(({ msg }) => msg.includes('not reloaded'))).toBe(true);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    const guest = await enter('lobby');
    await guest.next(({ tick, replay }) => tick !== undefined && !replay);
    await guest.leave();
  });

  it('that is not there any more is refused, and its faults are gone with the next that is sound', async () => {
    expect((await call('POST', '/admin/reload')).status).toBe(422);
    expect((await call('GET', '/admin/config')).body.faults).toHaveLength(1);
    expect((await reload(FIRST)).body.kept).toEqual(['clock']);
    expect((await call('GET', '/admin/config')).body.faults).toEqual([]);
  });
});

/** Live ticks whose predecessor a viewer has not seen, and was not told of. */
function holes(heard: readonly Received[]): unknown[] {
  const newest = new Map<string, string>();
  return heard.filter(({ event, data, tick, replay }) => {
    if (event === 'status' && data.state === 'changed') newest.delete(data.schedule);
    if (!tick) return false;
    // The type leaves the name out.
    const { due, previous, schedule } = { schedule: '', ...tick };
    const seen = newest.get(schedule);
    newest.set(schedule, due);
    return !replay && seen !== undefined && previous !== null && previous > seen;
  });
}
