import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { casesOf, Random, SEED, TIMEOUT_MS } from './cases.ts';
import { nearlyRight } from './mutate.ts';
import { report } from './watch.ts';

const AT_ONCE = 50;
/** Who has said all and hung up is answered long before. */
const PATIENCE_MS = 5000;

describe('bytes that are nearly right', () => {
  let server: TestServer;
  let token: string;
  let witness: SocketGuest;
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => void failures.push(error);

  beforeAll(async () => {
    process.on('unhandledRejection', onFailure).on('uncaughtException', onFailure);
    server = await startServer({
      rooms: [{ match: '*', publish: 'members' }],
      schedules: [{ name: 'clock', every: '200ms', rooms: ['witness'], feed: { type: 'time' } }],
    });
    token = server.belfry.madeToken ?? '';
    witness = new SocketGuest(`${server.url}/rooms/witness`);
    await witness.event('hello');
  });
  afterAll(async () => {
    report({ kind: 'bytes', cases: casesOf('bytes') });
    process.off('unhandledRejection', onFailure).off('uncaughtException', onFailure);
    await server.stop();
  });

  test('end neither the process nor its ticks, and get no 5xx but 505', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const count = casesOf('bytes');
    const statuses = new Map<string, number>();
    for (let first = 0; first < count; first += AT_ONCE) {
      const cases = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, index) =>
        bytesOf(first + index, token),
      );
      const answers = await Promise.all(cases.map((bytes) => said(server.port, bytes)));
      for (const answer of answers) {
        const status = answer?.slice('HTTP/1.1 '.length, 'HTTP/1.1 '.length + 3) ?? '';
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      // 505 is no fault of the server's: the request line names a version that it does not speak.
      const bad = answers.findIndex((answer) => answer === undefined || /^HTTP\/1\.1 5(?!05 )/.test(answer));
      if (bad >= 0) fail(first + bad, answers[bad] ?? `not answered within ${PATIENCE_MS} ms`);
      const logged = server.logged.find(({ msg }) => /failed|threw|could not/.test(msg));
      if (logged || failures.length > 0) fail(first, JSON.stringify(logged) ?? String(failures[0]));
      server.logged.length = 0;
    }
    // What is too wrong to get anywhere tries nothing.
    for (const status of ['101', '200', '400']) expect(statuses.get(status)).toBeGreaterThan(count / 100);
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    const askedAt = Date.now();
    await witness.next(({ tick }) => tick !== undefined && Date.parse(tick.due) > askedAt);
    await vi.waitFor(async () => expect((await server.admin('/connections')).items).toHaveLength(1), 5000);
  });

  function fail(number: number, why: string): never {
    const bytes = JSON.stringify(bytesOf(number, '<token>').toString('latin1'));
    throw new Error(`FUZZ_SEED=${SEED}, case ${number} or one of the ${AT_ONCE} beside it: ${why}\n${bytes}`);
  }
});

/** Each case has a seed of its own, so that it is the same whatever ran before. */
function bytesOf(number: number, token: string): Buffer {
  return nearlyRight(new Random(Math.imul(SEED, 1_000_003) + number), token);
}

/** Sends all of it and hangs up; resolves to what came back, `undefined` where the server does not let go. */
function said(port: number, bytes: Buffer): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: false });
    const heard: Buffer[] = [];
    const patience = setTimeout(() => {
      socket.destroy();
      resolve(undefined);
    }, PATIENCE_MS);
    socket.on('data', (chunk) => heard.push(chunk));
    // A reset is an answer to garbage too.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(patience);
      resolve(Buffer.concat(heard).toString('latin1'));
    });
    socket.end(bytes);
  });
}
