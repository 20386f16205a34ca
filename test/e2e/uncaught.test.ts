import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createBelfry } from '../../src/belfry.ts';
import { closingOf, stream, visit } from './listeners.ts';
import { BELFRY, emptyFolder, fileWith, ready, type Server, start } from './process.ts';

/** Loaded before Belfry: throws what a line on standard input names, out of a timer of its own. */
const FAULTY = `
import { createInterface } from 'node:readline';
const cause = new Error('the cause');
const faults = {
  throw: () => { throw new Error('thrown by a timer', { cause }); },
  reject: () => { Promise.reject(new Error('rejected by a timer', { cause })); },
  text: () => { throw 'only text'; },
};
createInterface({ input: process.stdin }).on('line', (line) => setTimeout(faults[line]));
`;

/** A server in whose process a library may fail. */
async function faulty(config: object): Promise<Server> {
  const preload = join(emptyFolder(), 'faulty.mjs');
  writeFileSync(preload, FAULTY);
  const args = ['--import', preload, BELFRY, 'serve', '--port', '0', '--config', fileWith(config)];
  return ready(start(process.execPath, args));
}

const fail = ({ child }: Server, how: 'throw' | 'reject' | 'text') => child.stdin?.write(`${how}\n`);

const linesOf = ({ stdout }: Server) => stdout.all.map((line) => JSON.parse(line));
const FATAL = 60;

describe('a fault that nothing has caught', () => {
  test.each([
    ['throw', 'thrown by a timer', 'an exception was not caught: the server stops'],
    ['reject', 'rejected by a timer', 'a rejected promise was not handled: the server stops'],
  ] as const)(
    'by %s is logged with its cause and ends the process after a drain',
    async (how, message, msg) => {
      const drainMs = 1000;
      const server = await faulty({ server: { drainSeconds: drainMs / 1000 } });
      const address = `${server.url}/rooms/lobby`;
      const clients = [await visit(address), await visit(address), await stream(address)];
      await clients[2]?.received.find(({ event }) => event === 'hello');
      const failedAt = performance.now();
      fail(server, how);

      for (const client of clients) {
        const closing = await closingOf(client);
        expect(closing).toMatchObject({ code: 1012, reconnect: true });
        expect(closing.retryAfterMs).toBeGreaterThan(0);
      }
      expect(await Promise.all(clients.map(({ over }) => over))).toEqual([1012, 1012, 0]);
      expect(await server.ended).toBe(1);
      expect(performance.now() - failedAt).toBeGreaterThan(drainMs / 2);

      const fatal = linesOf(server).filter(({ level }) => level === FATAL);
      expect(fatal).toEqual([
        expect.objectContaining({
          msg,
          err: expect.objectContaining({ message: expect.stringContaining(message) }),
        }),
      ]);
      expect(fatal[0].err.stack).toMatch(/faulty\.mjs:\d+[\s\S]*the cause/);
      expect(linesOf(server).at(-1)).toMatchObject({ msg: 'stopped' });
    },
  );

  test('ends the process at once where it is the second', async () => {
    const server = await faulty({ server: { drainSeconds: 60 } });
    const address = `${server.url}/rooms/lobby`;
    const [first, last] = [await visit(address), await visit(address)];
    const failedAt = performance.now();
    fail(server, 'text');
    await closingOf(first);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    fail(server, 'throw');
    expect(await server.ended).toBe(1);
    expect(performance.now() - failedAt).toBeLessThan(10_000);
    expect(await last.over).toBe(1006);
    const fatal = linesOf(server).filter(({ level }) => level === FATAL);
    expect(fatal.map(({ err }) => err.message ?? err)).toEqual([
      'only text',
      expect.stringContaining('thrown by a timer'),
    ]);
  });

  test('during the drain of a signal makes the exit code 1', async () => {
    const server = await faulty({ server: { drainSeconds: 1 } });
    const address = `${server.url}/rooms/lobby`;
    const [first, last] = [await visit(address), await visit(address)];
    server.child.kill('SIGTERM');
    await closingOf(first);
    fail(server, 'throw');
    expect(await closingOf(last)).toMatchObject({ code: 1012 });
    expect(await server.ended).toBe(1);
  });
});

test('a server in another program leaves signals and faults to that program', async () => {
  const events = [
    'uncaughtException',
    'unhandledRejection',
    'SIGINT',
    'SIGTERM',
    'exit',
    'beforeExit',
    'warning',
  ];
  const listeners = () => events.map((event) => [event, process.listenerCount(event)]);
  const before = listeners();
  const belfry = createBelfry({ server: { port: 0 } }, { env: {} });
  await belfry.start();
  expect(listeners()).toEqual(before);
  await belfry.stop();
  expect(listeners()).toEqual(before);
});
