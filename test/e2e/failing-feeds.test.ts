import type { IncomingMessage, ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { PATIENCE, Upstream } from '../feed/upstream.ts';
import { isTick, type Received, stream, visit } from './listeners.ts';
import { fileWith, serve } from './process.ts';
import { isRunning, pidsIn, STUBBORN_COMMAND } from './stubborn-command.ts';

const EVERY_MS = 250;
const CHUNK = Buffer.alloc(65_536, 'x');

/** What viewers are told of each feed that fails, and operators. */
const FAILING = {
  silent: ['timeout', 'no answer within 0.5 s'],
  garbage: ['not-json', 'not JSON'],
  endless: ['too-large', 'larger than 65536 bytes'],
  loop: ['http-status', 'more than 5 redirects'],
  broken: ['http-status', 'answered 500 Internal Server Error'],
  command: ['timeout', 'no answer within 0.5 s'],
};
const GOOD = ['http', 'file', 'message', 'time'];
/**
 * A busy machine may stand still for a quarter of a second, and other tests run beside this one. Feeds that
 * held up others would cost half of the twenty instants.
 */
const MAX_MISSED = 3;

type Answering = (request: IncomingMessage, response: ServerResponse) => void;

const UPSTREAM: Readonly<Record<string, Answering>> = {
  '/silent': () => {},
  '/garbage': (_, response) => response.setHeader('content-type', 'application/json').end('\u0000{nope'),
  '/endless': (_, response) => pour(response),
  '/loop': (_, response) => response.writeHead(302, { location: '/loop' }).end(),
  '/good': (_, response) => response.setHeader('content-type', 'application/json').end('{"good":true}'),
};

/** Writes without end, for as long as the other side reads. */
function pour(response: ServerResponse): void {
  while (response.write(CHUNK));
  response.once('drain', () => pour(response));
}

// The state of processes is read from /proc.
test.skipIf(process.platform !== 'linux')(
  'feeds that fail in every way hold up no other, and leave nothing behind',
  async () => {
    let isBroken = true;
    /** Requests under way now, and the most there were, for each path. */
    const open = new Map<string, number>();
    const most = new Map<string, number>();
    const upstream = await Upstream.start((request, response) => {
      const path = request.url ?? '';
      open.set(path, (open.get(path) ?? 0) + 1);
      most.set(path, Math.max(most.get(path) ?? 0, open.get(path) ?? 0));
      response.on('close', () => open.set(path, (open.get(path) ?? 0) - 1));
      if (path !== '/broken') UPSTREAM[path]?.(request, response);
      else response.writeHead(isBroken ? 500 : 200).end('back');
    });
    const http = (path: string) => ({ type: 'http', url: upstream.url(path) });
    const feeds = {
      silent: http('/silent'),
      garbage: http('/garbage'),
      endless: http('/endless'),
      loop: http('/loop'),
      broken: http('/broken'),
      // It does not end by itself, nor at a SIGTERM, and neither do its children.
      command: { type: 'command', argv: STUBBORN_COMMAND },
      http: http('/good'),
      file: { type: 'file', path: 'belfry.json', pick: '/limits/rooms' },
      message: { type: 'message', data: '{{due}}' },
      time: { type: 'time' },
    };
    const schedules = Object.entries(feeds).map(([name, feed]) => {
      // What does not answer is given up soon; a busy machine may take its time for the rest.
      const [reason] = Object.hasOwn(FAILING, name) ? FAILING[name as keyof typeof FAILING] : [];
      const timeout = reason === 'timeout' ? '500ms' : '5s';
      return { name, event: 'value', every: `${EVERY_MS}ms`, timeout, feed };
    });
    const config = fileWith({ server: { drainSeconds: 0 }, limits: { rooms: 7 }, schedules });
    const server = await serve({ args: ['--config', config] });
    const admin = async (path: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${server.token}` };
      return (await fetch(`${server.url}/admin/${path}`, { headers })).json();
    };
    const stats = () => admin('stats') as Promise<Stats>; // as the API has it
    const guest = await visit(`${server.url}/rooms/lobby`);
    await stream(`${server.url}/rooms/other`);

    for (const [name, [reason, detail]] of Object.entries(FAILING)) {
      const status = await guest.received.find(isStatus(name, 'error'), PATIENCE.timeout);
      expect(status.data).toMatchObject({ lastGood: null, reason });
      expect(status.data).not.toHaveProperty('detail');
      const entry = await admin(`schedules/${name}`);
      expect(entry).toMatchObject({ reason, detail: expect.stringContaining(detail ?? '') });
    }
    const before = await stats();
    isBroken = false;
    await guest.received.find(isStatus('broken', 'ok'), PATIENCE.timeout);
    await guest.received.find((one) => isTick(one) && one.tick?.schedule === 'broken');
    // The endless body has been asked for twice at least by then.
    await vi.waitUntil(() => upstream.requests.filter(({ url }) => url === '/endless').length > 1, PATIENCE);
    await guest.received.several(20, ofSchedule('time'), 20_000);

    for (const name of GOOD) {
      // On a busy machine the last ones are still on their way; the lateness of each is looked at below.
      await guest.received.several(19, ofSchedule(name));
      const ticks = guest.received.all.filter(ofSchedule(name));
      const seqs = ticks.map(({ tick }) => tick?.seq ?? 0);
      expect(seqs, name).toEqual([...new Set(seqs)].sort((a, b) => a - b));
      expect((seqs.at(-1) ?? 0) - (seqs[0] ?? 0) + 1 - seqs.length, name).toBeLessThanOrEqual(MAX_MISSED);
      const late = ticks.map(({ tick, time }) => Date.parse(time ?? '') - Date.parse(tick?.due ?? ''));
      expect(late.toSorted((a, b) => a - b)[Math.floor(late.length / 2)], name).toBeLessThan(EVERY_MS / 4);
      expect(Math.max(...late), name).toBeLessThan(EVERY_MS * (1 + MAX_MISSED));
      const told = guest.received.all.filter(isStatus(name)).map(({ data }) => Object(data));
      expect(told, name).toEqual(told.map((data) => ({ ...data, state: 'ok', reason: 'missed' })));
    }
    for (const name of Object.keys(FAILING)) {
      const states = guest.received.all.filter(isStatus(name)).map(({ data }) => Object(data).state);
      expect(states, name).toEqual(name === 'broken' ? ['error', 'ok'] : ['error']);
    }
    expect([...most]).toEqual(expect.arrayContaining([...most.keys()].map((path) => [path, 1])));
    expect([...most.keys()].sort()).toEqual(['/broken', '/endless', '/garbage', '/good', '/loop', '/silent']);
    const after = await stats();
    expect(after.missed).toBeLessThanOrEqual(MAX_MISSED * GOOD.length);
    expect(after.memory.rssBytes - before.memory.rssBytes).toBeLessThan(64 * 1024 * 1024);

    const started = () => pidsIn(join(dirname(config), 'pids'));
    await vi.waitUntil(() => started().some(isRunning), PATIENCE);
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(started().length).toBeGreaterThanOrEqual(2);
    await vi.waitFor(() => expect(started().filter(isRunning)).toEqual([]), PATIENCE);
    await upstream.left();
  },
  60_000,
);

interface Stats {
  readonly missed: number;
  readonly memory: { readonly rssBytes: number };
}

function isStatus(schedule: string, state?: string) {
  return ({ event, data, replay }: Received) => {
    const told = Object(data);
    const fits = event === 'status' && told.schedule === schedule && !replay;
    return fits && (state === undefined || told.state === state);
  };
}

function ofSchedule(name: string) {
  return (received: Received) => isTick(received) && received.tick?.schedule === name;
}
