import { describe, expect, it, onTestFinished } from 'vitest';
import { RemoteKeys } from '../../src/access/remote-keys.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { type KeyServer, keyPair, keyServer, keySet } from '../helpers/tokens.ts';

const A = keyPair('a');
const B = keyPair('b');
const SECOND = 1000;
const MINUTE = 60 * SECOND;

async function remote(body: KeyServer['body']) {
  const server = await keyServer(body);
  const clock = new ManualClock();
  const faults: string[] = [];
  const keys = new RemoteKeys(server.url, {
    clock,
    onFault: (_what, error) => faults.push(error instanceof Error ? error.message : String(error)),
  });
  onTestFinished(() => keys.stop());
  const find = (kid: string | undefined, algorithm = 'ES256') =>
    keys.find(algorithm, kid).then(
      ({ key }) => (key.equals(A.publicKey) ? 'a' : key.equals(B.publicKey) ? 'b' : 'another'),
      (error) => {
        if (!(error instanceof Refusal)) throw error;
        return error.status;
      },
    );
  /** Lets a fetch that a timer began come to its end. */
  const fetched = async (count: number) => {
    await expect.poll(() => server.count).toBe(count);
    // A timer for the next one is set when it is over.
    await expect.poll(() => clock.pending).toBe(1);
  };
  return { server, clock, keys, faults, find, fetched };
}

describe('RemoteKeys', () => {
  it('fetches nothing before the first token, and once for all that come then', async () => {
    const { server, find } = await remote(keySet(A, B));
    expect(server.count).toBe(0);
    expect(await Promise.all([find('a'), find('b'), find('a'), find('b')])).toEqual(['a', 'b', 'a', 'b']);
    expect(server.count).toBe(1);
  });

  it('takes an unknown name for a new key, at most every 30 seconds', async () => {
    const { server, clock, find } = await remote(keySet(A));
    expect(await find('a')).toBe('a');
    server.body = keySet(A, B);
    const names = Array.from({ length: 200 }, (_, index) => `made-up-${index}`);
    expect(new Set(await Promise.all(names.map((name) => find(name))))).toEqual(new Set([401]));
    expect(await find('b')).toBe(401);
    expect(server.count).toBe(1);
    clock.advance(30 * SECOND);
    expect(await find('b')).toBe('b');
    expect(new Set(await Promise.all(names.map((name) => find(name))))).toEqual(new Set([401]));
    expect(server.count).toBe(2);
  });

  it('lets few tokens with unknown names wait for a fetch, so that tokens with known ones are verified', async () => {
    const { server, clock, find } = await remote(keySet(A));
    expect(await find('a')).toBe('a');
    clock.advance(30 * SECOND);
    let answer = () => {};
    server.held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const found = Array.from({ length: 200 }, (_, index) => find(`made-up-${index}`));
    expect(await find('a')).toBe('a');
    answer();
    const statuses = await Promise.all(found);
    expect(statuses.filter((status) => status === 401)).toHaveLength(64);
    expect(statuses.filter((status) => status === 503)).toHaveLength(136);
    expect(server.count).toBe(2);
  });

  it('forgets a key that was removed within ten minutes, asked or not', async () => {
    const { server, clock, find, fetched } = await remote(keySet(A, B));
    expect(await find('a')).toBe('a');
    server.body = keySet(B);
    clock.advance(10 * MINUTE - 1);
    expect(await find('a')).toBe('a');
    clock.advance(1);
    await fetched(2);
    expect(await find('a')).toBe(401);
    expect(await find('b')).toBe('b');
    expect(server.count).toBe(2);
  });

  it('has no keys while none could be fetched, and tries again every 30 seconds', async () => {
    const { server, clock, faults, find, fetched } = await remote(undefined);
    expect(await find('a')).toBe(503);
    expect(await find('a')).toBe(503);
    expect(server.count).toBe(1);
    server.body = keySet(A);
    clock.advance(30 * SECOND);
    await fetched(2);
    expect(await find('a')).toBe('a');
    expect(faults).toEqual(['socket hang up']);
  });

  it('keeps the last keys for a day while they cannot be fetched, and says so once', async () => {
    const { server, clock, faults, find, fetched } = await remote(keySet(A));
    expect(await find('a')).toBe('a');
    server.status = 500;
    clock.advance(10 * MINUTE);
    await fetched(2);
    clock.advance(30 * SECOND);
    await fetched(3);
    expect(await find('a')).toBe('a');
    clock.block(24 * 60 * MINUTE - 11 * MINUTE);
    expect(await find('a')).toBe('a');
    await fetched(4);
    clock.block(2 * MINUTE);
    expect(await find('a')).toBe(503);
    expect(faults).toEqual(['the answer is 500, not 200']);
  });

  it.each<[string, string | null | undefined, number, string]>([
    ['is no JSON', 'hello', 200, 'Unexpected token'],
    ['is no key set', '[]', 200, 'is no JSON Web Key Set'],
    ['has keys that are no list', '{"keys":{}}', 200, 'is no JSON Web Key Set'],
    ['is endless', `{"keys":[${'{},'.repeat(200_000)}{}]}`, 200, 'larger than 262144 bytes'],
    ['leads elsewhere', '', 302, 'the answer is 302, not 200'],
    ['is empty', '', 200, 'Unexpected end'],
  ])('has no keys where the answer %s', async (_what, body, status, message) => {
    const { server, faults, find } = await remote(body);
    server.status = status;
    expect(await find('a')).toBe(503);
    expect(faults).toEqual([expect.stringContaining(message)]);
    expect(server.count).toBe(1);
  });

  it('waits five seconds for an answer', async () => {
    const { server, clock, faults, find } = await remote(null);
    const found = find('a');
    await expect.poll(() => server.count).toBe(1);
    clock.advance(5 * SECOND);
    expect(await found).toBe(503);
    expect(faults).toEqual(['no answer within 5000 ms']);
  });

  it('leaves keys out that are for other things, and what is no key', async () => {
    const { kid, publicKey } = A;
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid };
    const others = [
      null,
      'a',
      7,
      {},
      { kty: 'oct', k: 'c2VjcmV0', kid: 'c' },
      { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA', kid: 'd' },
      { ...jwk, kid: 'enc', use: 'enc' },
      { ...jwk, kid: 'alg', alg: 'ES512' },
      { ...jwk, kid: 7 },
    ];
    const { find } = await remote(JSON.stringify({ keys: [...others, jwk] }));
    expect(await find('a')).toBe('a');
    for (const kid of ['c', 'd', 'enc', 'alg', '7']) expect(await find(kid)).toBe(401);
  });

  it('finds a key without a name where one alone fits, and never one of another algorithm', async () => {
    const rsa = keyPair('rsa', 'RS256');
    const one = await remote(keySet(A, rsa));
    expect(await one.find(undefined)).toBe('a');
    expect(await one.find('a', 'RS256')).toBe(401);
    expect(await one.find('rsa')).toBe(401);
    const two = await remote(keySet(A, B));
    expect(await two.find(undefined)).toBe(401);
  });

  it('leaves no timer and no request behind when it is stopped', async () => {
    const { clock, keys, faults, find, server } = await remote(null);
    const found = find('a');
    await expect.poll(() => server.count).toBe(1);
    keys.stop();
    expect(await found).toBe(503);
    expect(clock.pending).toBe(0);
    expect(await find('a')).toBe(503);
    expect([faults, server.count]).toEqual([[], 1]);
  });
});
