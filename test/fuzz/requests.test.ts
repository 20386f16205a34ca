import { createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SubscriberTokens, tokenOf } from '../../src/access/subscriber-tokens.ts';
import { secretKey } from '../../src/access/verification-keys.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { checkHandshake, RequestCaller } from '../../src/transport/request-head.ts';
import { casesOf, type Kind, SEED, TIMEOUT_MS } from './cases.ts';
import { Watch } from './watch.ts';

const runs = (kind: Kind) => ({ numRuns: casesOf(kind), seed: SEED });
const options = { timeout: TIMEOUT_MS };

describe('a handshake', () => {
  const watch = new Watch('handshakes');

  test('is accepted with at most one token, or refused with a reason', options, async () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    const long = fc.integer({ min: 1, max: 8000 });
    const protocol = fc.oneof(
      fc.constantFrom('belfry', 'bearer.', 'bearer.a.b.c', 'Bearer.x', '', ' ', '\t', '"', 'belfry;q=1'),
      text,
      long.map((length) => 'a'.repeat(length)),
      long.map((length) => `bearer.${'.'.repeat(length)}`),
    );
    const protocols = fc.oneof(
      fc.array(protocol, { maxLength: 8 }).map((all) => all.join(',')),
      fc.array(protocol, { maxLength: 8 }).map((all) => all.join(' , ')),
      long.map((length) => ','.repeat(length)),
      long.map((length) => `a${' '.repeat(length)},`),
      long.map((length) => Array.from({ length: length / 4 }, (_, index) => `p${index}`).join(',')),
    );
    const headers = fc.record(
      {
        upgrade: fc.oneof(fc.constantFrom('websocket', 'WebSocket', 'h2c'), text),
        'sec-websocket-version': fc.oneof(fc.constantFrom('13', '8', '13, 8'), text),
        'sec-websocket-key': fc.oneof(fc.constant('dGhlIHNhbXBsZSBub25jZQ=='), text),
        'sec-websocket-protocol': protocols,
        authorization: fc.oneof(fc.constantFrom('Bearer x', 'bearer', 'Basic eDp5', 'Bearer  a b'), text),
        expect: fc.oneof(fc.constant('100-continue'), text),
      },
      { requiredKeys: ['upgrade', 'sec-websocket-version', 'sec-websocket-key'] },
    );
    const target = fc.oneof(
      fc.constantFrom('/rooms/lobby', '//[/../../rooms/x', 'http://[', '*', '', '/rooms?room=a&room=b'),
      fc.array(fc.constantFrom('access_token=', 'x', '&', '%', '%zz', '='), { maxLength: 9 }).map((all) => {
        return `/rooms/lobby?${all.join('')}`;
      }),
      text.map((some) => `/rooms/${some}`),
    );
    const method = fc.constantFrom('GET', 'GET', 'GET', 'POST');
    await fc.assert(
      fc.asyncProperty(headers, target, method, async (sent, url, verb) => {
        const rawHeaders = Object.entries(sent).flatMap(([name, value]) => [name, value ?? '']);
        // What is read of a request.
        const request = {
          ...{ headers: sent, rawHeaders, url, method: verb },
          ...{ httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1 },
        } as unknown as IncomingMessage;
        await watch.hold(() => {
          try {
            checkHandshake(request);
            expect(typeof (tokenOf(new RequestCaller(request)) ?? '')).toBe('string');
          } catch (error) {
            if (!(error instanceof Refusal)) throw error;
            expect([400, 405, 417, 426]).toContain(error.status);
            expect(error.message.length).toBeLessThan(500);
          }
        });
      }),
      runs('handshakes'),
    );
  });
});

describe('a token', () => {
  const watch = new Watch('tokens');
  const SECRET = 'a secret of the tests with 32 bytes and more';
  const now = Date.UTC(2026, 10, 22);
  const tokens = new SubscriberTokens({ leewaySeconds: 5, issuer: 'me' }, secretKey(SECRET), {
    now: () => now,
  });
  const sign = (signed: string) => createHmac('sha256', SECRET).update(signed).digest('base64url');
  const part = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '').toString('base64url');

  test('allows what it says, or is refused with a reason that repeats nothing of it', options, async () => {
    const odd = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom(2 ** 60, -1, 1e308, '\0', '__proto__'),
    );
    const mostly = <Value>(value: fc.Arbitrary<Value>) =>
      fc.oneof<fc.MaybeWeightedArbitrary<unknown>[]>({ weight: 6, arbitrary: value }, odd);
    const pattern = mostly(fc.constantFrom('*', 'ops-*', 'lobby', '*-*-*-*'));
    const patterns = fc.oneof(
      pattern,
      fc.array(pattern, { maxLength: 5 }),
      fc.array(pattern, { maxLength: 120 }),
    );
    const header = fc.record(
      {
        alg: mostly(fc.constantFrom('HS256', 'none', 'RS256', 'hs256', 'HS512')),
        typ: odd,
        kid: odd,
        crit: odd,
        b64: odd,
        jwk: odd,
      },
      { requiredKeys: [] },
    );
    const claims = fc.record(
      {
        sub: mostly(fc.constantFrom('wall', 'x'.repeat(128), 'x'.repeat(129))),
        rooms: patterns,
        publish: patterns,
        exp: mostly(fc.constantFrom(now / 1000 + 60, now / 1000 - 60)),
        nbf: mostly(fc.constant(now / 1000 - 60)),
        iss: mostly(fc.constant('me')),
        iat: mostly(fc.constant(now / 1000)),
      },
      { requiredKeys: ['iss'] },
    );
    const signed = fc
      .tuple(fc.oneof(fc.constant({ alg: 'HS256' }), header), fc.oneof(claims, odd))
      .map(([head, body]) => {
        const both = `${part(head)}.${part(body)}`;
        return `${both}.${sign(both)}`;
      });
    const spice = fc.constantFrom(
      '.',
      '..',
      '=',
      '+',
      '%',
      '\0',
      'é',
      ' ',
      '.'.repeat(5000),
      'A'.repeat(20_000),
    );
    const spoilt = fc
      .tuple(signed, fc.nat(400), fc.nat(40), spice)
      .map(([all, at, gone, more]) => all.slice(0, at) + more + all.slice(at + gone));
    const token = fc.oneof({ weight: 2, arbitrary: signed }, spoilt, fc.string({ unit: 'binary' }));
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(token, async (text) => {
        await watch.hold(async () => {
          try {
            const { user, mayJoin, mayPublish } = await tokens.verify(text);
            accepted++;
            expect(user === undefined || (user.length > 0 && user.length <= 128)).toBe(true);
            expect([typeof mayJoin('lobby'), typeof mayPublish('a-b-c-d')]).toEqual(['boolean', 'boolean']);
          } catch (error) {
            if (!(error instanceof Refusal)) throw error;
            expect(error.status).toBe(401);
            if (text.length > 40) expect(error.message).not.toContain(text.slice(0, 40));
            expect(error.message.length).toBeLessThan(300);
          }
        });
      }),
      runs('tokens'),
    );
    // What is too wrong to get anywhere tries nothing.
    expect(accepted).toBeGreaterThan(casesOf('tokens') / 100);
  });
});
