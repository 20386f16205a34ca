import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Embedded, embedded, TOKEN } from './embedded.ts';
import { isTick, type Received, stream, visit } from './listeners.ts';
import { belfry, ownEnv, serve } from './process.ts';

const run = promisify(execFile);
const EVERY_MS = 200;
const quick = {
  rooms: [{ match: '*', publish: 'members' }],
  schedules: [{ name: 'clock', every: `${EVERY_MS}ms`, feed: { type: 'time' } }],
};

describe('a room, by WebSocket, SSE and belfry watch', () => {
  test('shows the same ticks in each, at multiples of the interval and with an unbroken chain', async () => {
    const { sources } = await threeIn(await embedded(quick));
    // A program takes its time to start: what came before its first tick only the others have seen.
    const firsts = await Promise.all(sources.map((source) => source.find(isTick)));
    const first = firsts.map(({ tick }) => tick?.due ?? '').reduce((a, b) => (a > b ? a : b));
    const ticks = await Promise.all(
      sources.map((source) => source.several(10, (one) => isTick(one) && (one.tick?.due ?? '') >= first)),
    );
    for (const seen of ticks) {
      for (const [index, { tick, time = '' }] of seen.entries()) {
        if (!tick) throw new Error('not a tick');
        const dueMs = Date.parse(tick.due);
        expect(dueMs % EVERY_MS).toBe(0);
        expect(tick.seq).toBe(dueMs / EVERY_MS);
        expect(Date.parse(time)).toBeGreaterThanOrEqual(dueMs);
        if (index > 0) expect(tick.previous).toBe(seen[index - 1]?.tick?.due);
      }
    }
    const dues = ticks.map((seen) => new Map(seen.map((one) => [one.tick?.due, one])));
    const shared = [...(dues[0]?.keys() ?? [])].filter((due) => dues.every((seen) => seen.has(due)));
    expect(shared).toHaveLength(10);
    for (const due of shared) expect(new Set(dues.map((seen) => JSON.stringify(seen.get(due)))).size).toBe(1);
  });

  test('gets what curl sends without naming a content type', async () => {
    const server = await embedded(quick);
    const { sources } = await threeIn(server);
    const answer = await curl(server, ['-d', '{"data":"hi"}'], '/admin/broadcast');
    expect(answer).toMatchObject({ rooms: ['lobby'], connections: 3 });
    const heard = await Promise.all(sources.map((source) => source.find(({ event }) => event === 'message')));
    for (const message of heard) expect(message).toMatchObject({ room: 'lobby', data: 'hi', id: answer.id });
  });

  test('says to each why it was closed', async () => {
    const server = await embedded(quick);
    const { socket, events, watch, sources } = await threeIn(server);
    const path = '/admin/rooms/lobby?reason=maintenance&reconnect=false';
    const answer = await curl(server, ['-X', 'DELETE'], path);
    expect(answer).toMatchObject({ room: 'lobby', connections: 3 });
    const expected = { code: 4001, reason: 'maintenance', reconnect: false, ends: 'connection' };
    const told = await Promise.all(sources.map((source) => source.find(({ event }) => event === 'closing')));
    for (const { data } of told) expect(data).toEqual(expected);
    expect(await socket.over).toBe(4001);
    expect(await events.over).toBe(0);
    expect(await watch.ended).toBe(1);
    expect(watch.stderr.all.at(-1)).toContain('maintenance (4001)');
    expect((await stream(`${server.url}/rooms/lobby`)).status).toBe(204);
  });
});

describe('belfry watch', () => {
  test('publishes what is typed, and ends at Ctrl-C with 1000 within a second', async () => {
    const { url, stdout } = await serve({ config: quick });
    const other = await visit(`${url}/rooms/lobby`);
    const watch = belfry(['watch', `${url}/rooms/lobby?device=desk`]);
    await watch.stderr.find((line) => line.startsWith('connected to '));
    watch.child.stdin?.write('good morning\n');
    const heard = await other.received.find(({ event }) => event === 'message');
    expect(heard).toMatchObject({ data: { text: 'good morning' }, from: { device: 'desk' } });
    const line = await watch.stdout.find((text) => text.includes('good morning'));
    expect(line).toContain('from desk');

    const askedAt = performance.now();
    watch.child.kill('SIGINT');
    expect(await watch.ended).toBe(0);
    expect(performance.now() - askedAt).toBeLessThan(1000);
    expect(stdout.all.filter((text) => !text.includes('"level":30'))).toEqual([]);
  });

  test('reports in one line that no server listens, with exit code 1', async () => {
    const watch = belfry(['watch', 'ws://127.0.0.1:9/rooms/lobby']);
    expect(await watch.ended).toBe(1);
    expect(watch.stderr.all).toEqual(['no connection: nobody listens at 127.0.0.1:9']);
  });
});

async function threeIn(server: Embedded) {
  const address = `${server.url}/rooms/lobby`;
  const socket = await visit(address);
  const events = await stream(address);
  const watch = belfry(['watch', '--json', address]);
  const watched = watch.stdout;
  await watched.find((line) => line.includes('"hello"'));
  const fromWatch = {
    several: (count: number, fits: (received: Received) => boolean) =>
      watched.several(count, (line) => fits(JSON.parse(line))).then((lines) => lines.map(parsed)),
    find: (fits: (received: Received) => boolean) =>
      watched.find((line) => fits(JSON.parse(line))).then(parsed),
  };
  return { socket, events, watch, sources: [socket.received, events.received, fromWatch] };
}

function parsed(line: string): Received {
  return JSON.parse(line);
}

async function curl({ url }: Embedded, args: readonly string[], path: string) {
  const bearer = ['-H', `Authorization: Bearer ${TOKEN}`];
  const { stdout } = await run('curl', ['-sS', ...bearer, ...args, `${url}${path}`], { env: ownEnv() });
  return JSON.parse(stdout);
}
