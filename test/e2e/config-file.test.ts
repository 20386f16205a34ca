import { execFileSync } from 'node:child_process';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isTick, type Received, type SocketVisitor, visit } from './listeners.ts';
import { emptyFolder, fileWith, outcome, type Server, serve } from './process.ts';

const EVERY_MS = 500;
const STOPPED_MS = 3000;

const env = { BELFRY_ADMIN_TOKEN: 'token-of-the-tests' };
const clock = (every: string) => ({ name: 'clock', every, feed: { type: 'time' } });
const saying = (text: string) => ({
  schedules: [clock('200ms'), { name: 'notice', every: '200ms', feed: { type: 'message', data: text } }],
});

/** A server whose file is at `path`. */
async function started(): Promise<{ server: Server; path: string }> {
  const path = fileWith(saying('first'));
  return { server: await serve({ args: ['--config', path], env }), path };
}

const says = ({ received }: SocketVisitor, text: string) => received.find(({ data }) => data === text);
const logged = ({ stdout }: Server, msg: string) => stdout.find((line) => line.includes(msg));

async function readiness({ url }: Server): Promise<number> {
  return (await fetch(`${url}/readyz`)).status;
}

async function config({ url }: Server): Promise<{ faults: { path: string }[] }> {
  const response = await fetch(`${url}/admin/config`, {
    headers: { authorization: `Bearer ${env.BELFRY_ADMIN_TOKEN}` },
  });
  // The contract's form of it.
  return (await response.json()) as { faults: { path: string }[] };
}

describe('a configuration file that changes', () => {
  test('is put in force, however an editor saves it, and clients stay connected', async () => {
    const { server, path } = await started();
    const visitor = await visit(`${server.url}/rooms/lobby`);
    await says(visitor, 'first');

    writeFileSync(path, JSON.stringify(saying('written over')));
    await says(visitor, 'written over');

    writeFileSync(`${path}.new`, JSON.stringify(saying('put in its place')));
    renameSync(`${path}.new`, path);
    await says(visitor, 'put in its place');

    renameSync(path, `${path}~`);
    writeFileSync(path, JSON.stringify(saying('behind a backup')));
    await says(visitor, 'behind a backup');

    expect(visitor.socket.readyState).toBe(visitor.socket.OPEN);
    expect(holes(visitor.received.all)).toEqual([]);
  });

  test('half written is refused and logged while the old one stays in force, and is used once it is whole', async () => {
    const { server, path } = await started();
    const visitor = await visit(`${server.url}/rooms/lobby`);
    const text = JSON.stringify(saying('whole'));
    writeFileSync(path, text.slice(0, text.length / 2));
    await logged(server, 'not reloaded');
    expect((await config(server)).faults).toMatchObject([{ path: '' }]);
    expect(await readiness(server)).toBe(200);
    const before = visitor.received.all.length;
    await visitor.received.several(before + 2);
    writeFileSync(path, text);
    await says(visitor, 'whole');
    expect((await config(server)).faults).toEqual([]);
    expect(holes(visitor.received.all)).toEqual([]);
  });

  test('that vanishes is no fault, and is used when it comes back', async () => {
    const { server, path } = await started();
    const visitor = await visit(`${server.url}/rooms/lobby`);
    rmSync(path);
    await visitor.received.several(visitor.received.all.length + 4);
    expect(await readiness(server)).toBe(200);
    writeFileSync(path, JSON.stringify(saying('back again')));
    await says(visitor, 'back again');
    expect((await config(server)).faults).toEqual([]);
  });
});

test('a pipe as the configuration is refused at once, and in the place of the file as well', async () => {
  const pipe = join(emptyFolder(), 'belfry.json');
  execFileSync('mkfifo', [pipe]);
  const { code, stderr } = await outcome(['serve', '--config', pipe]);
  expect(stderr).toEqual([`${pipe}: cannot be read: it is a pipe: write it to a file first`]);
  expect(code).toBe(2);

  const { server, path } = await started();
  renameSync(pipe, path);
  await logged(server, 'it is a pipe');
  expect((await config(server)).faults).toMatchObject([{ path: '' }]);
  expect(await readiness(server)).toBe(200);
});

test('a server that was stopped for a while and continued sends one tick, and its chain tells the rest', async () => {
  const server = await serve({ config: { schedules: [clock(`${EVERY_MS}ms`)] }, env });
  const visitor = await visit(`${server.url}/rooms/lobby`);
  await visitor.received.several(2, isTick);
  process.kill(server.pid, 'SIGSTOP');
  // It is the time that passes which is tested.
  await new Promise((resolve) => setTimeout(resolve, STOPPED_MS));
  process.kill(server.pid, 'SIGCONT');
  const before = visitor.received.all.filter(isTick).length;
  await visitor.received.several(before + 3, isTick);
  const live = visitor.received.all.filter(isTick);
  const steps = live.slice(1).map((received, index) => dueOf(received) - dueOf(live[index]));
  // Of all the instants that passed meanwhile only the newest was run.
  const leaps = steps.filter((step) => step !== EVERY_MS);
  expect(leaps).toHaveLength(1);
  expect(leaps[0]).toBeGreaterThan(STOPPED_MS - EVERY_MS);
  expect(holes(live)).toEqual([]);
  expect(visitor.socket.readyState).toBe(visitor.socket.OPEN);
  await logged(server, 'instants were missed');
});

function dueOf(received: Received | undefined): number {
  return Date.parse(received?.tick?.due ?? '');
}

/** Live ticks whose predecessor was not seen. */
function holes(all: readonly Received[]): Received[] {
  const newest = new Map<string, string>();
  return all.filter(({ tick, replay }) => {
    if (!tick) return false;
    const seen = newest.get(tick.schedule);
    newest.set(tick.schedule, tick.due);
    return !replay && seen !== undefined && tick.previous !== null && tick.previous > seen;
  });
}
