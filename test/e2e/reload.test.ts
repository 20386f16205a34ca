import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { ConfigError } from '../../src/config/errors.ts';
import { embedded } from './embedded.ts';
import { isTick, type Received, type SocketVisitor, visit } from './listeners.ts';
import { fileWith, type Server, serve } from './process.ts';

const clock = { name: 'clock', every: '100ms', feed: { type: 'time' } };
const bell = { name: 'bell', every: '100ms', feed: { type: 'message', data: 'ding' } };

/** What a reload answers, or why it does not. */
interface Reloaded {
  readonly added?: readonly string[];
  readonly changed?: readonly string[];
  readonly removed?: readonly string[];
  readonly kept?: readonly string[];
  readonly needsRestart?: readonly string[];
  readonly detail?: string;
  readonly errors?: readonly { path: string; message: string }[];
}

/** A server in this process whose configuration can be replaced. */
async function reloadable(first: object) {
  let document: unknown = first;
  const read = () => {
    if (document instanceof Error) throw document;
    return document;
  };
  const server = await embedded(first, { source: { label: 'belfry.json', read } });
  const { admin } = server;
  return {
    ...server,
    /** Takes another configuration over, which also says where the server listens already. */
    async reload(next: object): Promise<{ status: number; answer: Reloaded }> {
      const rest = { server: {}, ...next };
      const port = server.belfry.config.server.port;
      document =
        next instanceof Error ? next : { ...rest, server: { port, drainSeconds: 0, ...rest.server } };
      return admin('POST', '/reload') as Promise<{ status: number; answer: Reloaded }>;
    },
  };
}

describe('POST /admin/reload', () => {
  test('answers what became of the schedules, and what only a restart changes', async () => {
    const { reload } = await reloadable({ schedules: [clock, bell] });
    expect(
      await reload({
        server: { port: 1, host: 'localhost' },
        schedules: [clock, { ...bell, event: 'ring' }, { ...clock, name: 'new' }],
      }),
    ).toEqual({
      status: 200,
      answer: {
        added: ['new'],
        changed: ['bell'],
        removed: [],
        kept: ['clock'],
        needsRestart: ['server.host', 'server.port'],
      },
    });
    const { answer } = await reload({ schedules: [clock] });
    expect(answer).toMatchObject({ removed: ['bell', 'new'], kept: ['clock'], needsRestart: [] });
  });

  test('is refused where there is no file', async () => {
    const { admin } = await embedded({});
    expect((await admin('POST', '/reload')).status).toBe(409);
  });

  test('refuses a faulty configuration with its faults, and the old one runs on', async () => {
    const { url, admin, reload } = await reloadable({ schedules: [clock], rooms: [{ match: 'a' }] });
    const guest = await visit(`${url}/rooms/lobby`);
    const { status, answer } = await reload({
      schedules: [{ ...clock, every: 3 }],
      shedules: [],
      rooms: [{ match: 'b' }],
    });
    expect(status).toBe(422);
    const faults = [
      { path: '', message: 'unknown key "shedules": did you mean "schedules"?' },
      { path: 'schedules[0].every', message: '3 is not a duration: write "3s"' },
    ];
    expect(byPath(answer.errors ?? [])).toEqual(faults);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const shown = (await admin('GET', '/config')).answer as {
      faults?: Fault[];
      config?: { rooms?: unknown };
    };
    expect(byPath(shown.faults ?? [])).toEqual(faults);
    expect(shown.config?.rooms).toMatchObject([{ match: 'a' }]);
    const before = guest.received.all.filter(isTick).length;
    await guest.received.several(before + 3, isTick);
    expect(holesIn(guest)).toEqual([]);

    await reload({ schedules: [clock] });
    expect((await admin('GET', '/config')).answer).toMatchObject({ faults: [] });
  });

  test('tells no secret of a configuration, faulty or not', async () => {
    const secret = 'hunter2';
    const feeds = [
      {
        type: 'http',
        url: `https://ann:${secret}@x.example/?key=${secret}`,
        headers: { authorization: secret },
      },
      { type: 'command', argv: ['true', `-p${secret}`] },
    ];
    const schedules = feeds.map((feed, n) => ({ name: `s${n}`, every: '1h', feed }));
    const { admin, reload } = await reloadable({});
    expect(await reload({ schedules })).toMatchObject({ status: 200 });
    const argv = `mysql -p${secret}`;
    const refused = await reload({ schedules: [{ ...schedules[0], feed: { type: 'command', argv } }] });
    expect(refused.status).toBe(422);
    const { answer } = await admin('GET', '/config');
    expect(JSON.stringify([refused, answer])).not.toContain(secret);
    expect(answer).toMatchObject({ faults: [{ path: 'schedules[0].feed.argv' }] });
  });

  test('refuses what cannot be read, too', async () => {
    const { reload } = await reloadable({ schedules: [clock] });
    const message = 'is not JSON: there is nothing in it';
    const { status, answer } = await reload(new ConfigError([{ path: '', message }]));
    expect(status).toBe(422);
    expect(answer.detail).toContain(
      `belfry.json cannot be used, and the configuration in force stays: ${message}`,
    );
  });

  test('lets a token that was removed work no more, at once, and one that was added', async () => {
    const tokens = (...list: string[]) => ({
      admin: { tokens: list.map((token) => ({ name: token, token, role: 'viewer' })) },
    });
    const { url, reload } = await reloadable(tokens('old'));
    const rooms = async (token: string) =>
      (await fetch(`${url}/admin/rooms`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect([await rooms('old'), await rooms('new')]).toEqual([200, 401]);
    await reload(tokens('new'));
    expect([await rooms('old'), await rooms('new')]).toEqual([401, 200]);
  });

  test('changes rules of rooms, origins and limits, for those who are there as well', async () => {
    const { url, reload } = await reloadable({ rooms: [{ match: 'lobby', publish: 'members' }] });
    const room = `${url}/rooms/lobby`;
    const origin = 'https://wall.example.com';
    const from = async () => (await fetch(room, { headers: { origin } })).status;
    const guest = await visit(room);
    expect((await said(guest, { action: 'publish', data: 1 })).error).toBeUndefined();
    expect(await from()).toBe(403);

    await reload({
      server: { allowedOrigins: [origin] },
      rooms: [{ match: 'cellar', subscribe: 'nobody' }],
      limits: { eventBytes: 10, connections: 1 },
    });
    expect((await said(guest, { action: 'publish', data: 1 })).error?.status).toBe(403);
    expect((await said(guest, { action: 'subscribe', room: 'cellar' })).error?.status).toBe(403);
    expect(await from()).toBe(200);
    await expect(visit(room)).rejects.toThrow('503');

    await reload({ rooms: [{ match: 'lobby', publish: 'members' }], limits: { eventBytes: 10 } });
    expect((await said(guest, { action: 'publish', data: 'x'.repeat(10) })).error?.status).toBe(413);
    expect(await from()).toBe(403);
    await visit(room);
  });

  test('twenty times with fifty connections closes none and loses no tick of what is unchanged', async () => {
    const { url, reload } = await reloadable({ schedules: [clock] });
    const guests = await Promise.all(Array.from({ length: 50 }, () => visit(`${url}/rooms/lobby`)));
    const [first] = guests;
    for (let count = 1; count <= 20; count++) {
      const every = `${count}00ms`;
      const { answer } = await reload({ schedules: [clock, { ...bell, every }], limits: { rooms: count } });
      expect(answer.kept).toEqual(['clock']);
      await first?.received.several(count, isTickOfClock);
    }
    const last = first?.received.all.filter(isTickOfClock).at(-1)?.tick;
    for (const guest of guests) {
      await guest.received.find(({ tick }) => tick?.schedule === 'clock' && tick.due === last?.due);
      expect(holesIn(guest)).toEqual([]);
      expect(guest.socket.readyState).toBe(WebSocket.OPEN);
    }
  });
});

describe('a running server', () => {
  test('takes its file over when it has changed, also where another one was put in its place', async () => {
    const path = fileWith({ schedules: [clock] });
    const { guest, stdout } = await watching(path);
    writeFileSync(path, JSON.stringify({ schedules: [clock, bell] }));
    await guest.received.find(({ tick }) => tick?.schedule === 'bell');

    const other = join(dirname(path), 'belfry.json.new');
    writeFileSync(other, JSON.stringify({ schedules: [clock, { ...bell, event: 'ring' }] }));
    renameSync(other, path);
    await guest.received.find(({ event }) => event === 'ring');
    expect(holesIn(guest)).toEqual([]);
    expect(stdout.all.filter((line) => line.includes('"configuration reloaded"'))).toHaveLength(2);
  });

  test('logs what is wrong with a file and runs on, and takes over one that was put right', async () => {
    const path = fileWith({ schedules: [clock] });
    const { guest, stdout, url } = await watching(path);
    writeFileSync(path, '{ "schedules": [');
    const line = await stdout.find((text) => text.includes('was not reloaded'));
    expect(line).toMatch(/is not JSON.*line 1, column/);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    rmSync(path);
    writeFileSync(path, JSON.stringify({ schedules: [clock, bell] }));
    await guest.received.find(({ tick }) => tick?.schedule === 'bell');
    expect(holesIn(guest)).toEqual([]);
  });
});

interface Fault {
  readonly path: string;
  readonly message: string;
}

const byPath = (faults: readonly Fault[]) => faults.toSorted((a, b) => a.path.localeCompare(b.path));

const isTickOfClock = (received: Received) => isTick(received) && received.tick?.schedule === 'clock';

/**
 * The ticks of the clock before which a viewer missed something. A machine that is busy elsewhere may
 * hold the server up for longer than the clock's 100 ms: then a `status` says so, and the chain is whole.
 */
function holesIn({ received }: SocketVisitor): unknown[] {
  const holes: unknown[] = [];
  let last: Received['tick'];
  let isExplained = false;
  for (const one of received.all) {
    if (one.event === 'status' && Object(one.data).schedule === 'clock') isExplained = true;
    if (!isTickOfClock(one) || !one.tick) continue;
    const follows = one.tick.seq === (last?.seq ?? 0) + 1 || isExplained;
    if (last && !(follows && one.tick.previous === last.due)) holes.push(one.tick);
    last = one.tick;
    isExplained = false;
  }
  expect(received.all.filter(isTickOfClock).length).toBeGreaterThan(1);
  return holes;
}

async function said(guest: SocketVisitor, line: object): Promise<Received> {
  const ref = guest.received.all.length;
  guest.send({ ...line, ref });
  return guest.received.find((received) => received.ref === ref);
}

/** A server with a file, and a client that has received its clock. */
async function watching(path: string): Promise<Server & { guest: SocketVisitor }> {
  const server = await serve({ args: ['--config', path] });
  const guest = await visit(`${server.url}/rooms/lobby`);
  await guest.received.several(2, isTickOfClock);
  onTestFinished(() => guest.leave());
  return { ...server, guest };
}
