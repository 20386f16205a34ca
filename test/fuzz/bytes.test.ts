import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { casesOf, Random, SEED, TIMEOUT_MS } from './cases.ts';
import { nearlyRight } from './mutate.ts';
import { Trial } from './trial.ts';
import type { Watched } from './watched.ts';

/** A client that has said all and hung up is answered long before, on a busy machine too. */
const PATIENCE_MS = 10_000;
const STATUS_AT = 'HTTP/1.1 '.length;
/** 505 is no fault of the server's: the request line names a version that it does not speak. */
const BROKEN = /^HTTP\/1\.1 5(?!05 )/;

describe('bytes that are nearly right', () => {
  test('end neither the process nor its ticks, and get no 5xx but 505', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const count = casesOf('bytes');
    const statuses = new Map<string, number>();
    const caseOf =
      (number: number) =>
      async ({ port, token }: Watched) => {
        const answer = await said(port, bytesOf(number, token));
        if (answer === undefined) return `case ${number}: not answered within ${PATIENCE_MS} ms`;
        const status = answer.slice(STATUS_AT, STATUS_AT + 3);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        return BROKEN.test(answer) ? `case ${number}: ${answer}` : undefined;
      };
    await Trial.run({ kind: 'bytes', first: 0, end: count, caseOf, fail });
    // What is too wrong to get anywhere tries nothing.
    for (const status of ['101', '200', '400']) expect(statuses.get(status)).toBeGreaterThan(count / 100);
  });
});

function fail(which: number | string, why: string): never {
  const bytes = typeof which === 'number' ? JSON.stringify(bytesOf(which, '<token>').toString('latin1')) : '';
  throw new Error(`FUZZ_SEED=${SEED}, case ${which}: ${why}\n${bytes}`);
}

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
