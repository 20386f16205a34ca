import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeySource, SubscriberTokens, tokenOf } from '../../src/access/subscriber-tokens.ts';
import { secretKey, type VerificationKey } from '../../src/access/verification-keys.ts';
import { Refusal } from '../../src/hub/errors.ts';
import type { Subscriber } from '../../src/hub/subscriber.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { keyPair, signed, unsigned } from '../helpers/tokens.ts';

const SECRET = 'a-secret-of-thirty-two-bytes-or-more';
const clock = new ManualClock('2026-11-20T18:00:00.000Z');
const NOW = clock.now() / 1000;
const RULES = { issuer: 'me', audience: 'wall', leewaySeconds: 5 };
const CLAIMS = { iss: 'me', aud: 'wall', exp: NOW + 60 };

const tokens = new SubscriberTokens(RULES, secretKey(SECRET), clock);
const accepted = async (claims: object): Promise<Subscriber> =>
  tokens.verify(await signed({ ...CLAIMS, ...claims }, SECRET));

async function refusal(token: string | Promise<string>, by = tokens): Promise<Refusal> {
  const text = await token;
  return by.verify(text).then(
    () => {
      throw new Error('it was accepted');
    },
    (error) => {
      if (!(error instanceof Refusal)) throw error;
      return error;
    },
  );
}

const withClaims = (claims: object) => signed({ ...CLAIMS, ...claims }, SECRET);

describe('SubscriberTokens', () => {
  it('finds the user, the rooms and the end of a token', async () => {
    const { user, mayJoin, mayPublish, expiresAtMs, endsAtMs } = await accepted({
      sub: 'wall-1',
      rooms: ['ops-*', 'lobby'],
      publish: 'ops-1',
    });
    expect(user).toBe('wall-1');
    expect(['ops-1', 'ops-2', 'lobby', 'cellar'].map(mayJoin)).toEqual([true, true, true, false]);
    expect(['ops-1', 'ops-2', 'lobby'].map(mayPublish)).toEqual([true, false, false]);
    expect(expiresAtMs).toBe((NOW + 60) * 1000);
    expect(endsAtMs).toBe((NOW + 65) * 1000);
  });

  it('allows no room where the claims are missing', async () => {
    const { user, mayJoin, mayPublish } = await accepted({});
    expect(user).toBeUndefined();
    expect([mayJoin('lobby'), mayPublish('lobby')]).toEqual([false, false]);
  });

  it('accepts a token without an end, and one with an end that no calendar has', async () => {
    const endless = await tokens.verify(await signed({ iss: 'me', aud: 'wall' }, SECRET));
    expect(endless).toMatchObject({ expiresAtMs: undefined, endsAtMs: Number.POSITIVE_INFINITY });
    const { expiresAtMs = 0 } = await accepted({ exp: 1e300 });
    expect(() => new Date(expiresAtMs).toISOString()).not.toThrow();
  });

  it('accepts an audience among others', async () => {
    await expect(accepted({ aud: ['other', 'wall'] })).resolves.toBeDefined();
  });

  it('looks at issuer and audience only where they are configured', async () => {
    const open = new SubscriberTokens({ leewaySeconds: 0 }, secretKey(SECRET), clock);
    await expect(open.verify(await signed({ sub: 'a' }, SECRET))).resolves.toMatchObject({ user: 'a' });
  });

  it.each([
    ['expired within the leeway', { exp: NOW - 4 }],
    ['valid soon, within the leeway', { nbf: NOW + 4 }],
    ['issued in the future', { iat: NOW + 1000 }],
  ])('accepts a token that is %s', async (_what, claims) => {
    await expect(accepted(claims)).resolves.toBeDefined();
  });

  it.each([
    ['expired', { exp: NOW - 5 }, 'the token has expired: get a new one'],
    ['not valid yet', { nbf: NOW + 6 }, 'the token is not valid yet'],
    ['of another issuer', { iss: 'you' }, 'the token is of another issuer'],
    ['of no issuer', { iss: undefined }, 'the claim "iss" of the token is missing or of a wrong type'],
    ['for another audience', { aud: 'roof' }, 'the token is for another audience'],
    ['for other audiences', { aud: ['roof', 'wal'] }, 'the token is for another audience'],
    ['for no audience', { aud: undefined }, 'the claim "aud" of the token is missing or of a wrong type'],
    [
      'with an end in words',
      { exp: 'tomorrow' },
      'the claim "exp" of the token is missing or of a wrong type',
    ],
    [
      'of a user that is a number',
      { sub: 7 },
      'the claim "sub" of the token must be 1 to 128 printable characters',
    ],
    ['of an empty user', { sub: '' }, 'the claim "sub" of the token must be 1 to 128 printable characters'],
    ['of a long user', { sub: 'x'.repeat(129) }, 'the claim "sub" of the token must be'],
    ['of a user with a line break', { sub: 'a\nb' }, 'the claim "sub" of the token must be'],
    ['with rooms as an object', { rooms: { lobby: true } }, 'the claim "rooms" of the token must be'],
    ['with rooms as null', { rooms: null }, 'the claim "rooms" of the token must be'],
    ['with a room that is none', { rooms: ['lobby', 'a b'] }, 'the claim "rooms" of the token must be'],
    ['with too many rooms', { rooms: Array(101).fill('a') }, 'the claim "rooms" of the token must be'],
    ['with a number to publish in', { publish: 1 }, 'the claim "publish" of the token must be'],
  ])('refuses a token %s, and says so', async (_what, claims, message) => {
    const { status, message: told, details } = await refusal(withClaims(claims));
    expect(status).toBe(401);
    expect(told).toContain(message);
    expect(details.headers?.['WWW-Authenticate']).toBe(
      `Bearer error="invalid_token", error_description="${told.replaceAll('"', "'")}"`,
    );
  });

  const es = keyPair('k');
  const none = unsigned({ alg: 'none' }, CLAIMS);
  it.each([
    ['nothing', ''],
    ['words', 'hello'],
    ['three dots', '...'],
    ['no signature', none],
    ['another word for no signature', unsigned({ alg: 'NONE' }, CLAIMS)],
    ['two parts', none.slice(0, -1)],
    ['five parts', 'a.b.c.d.e'],
    ['a header that is a list', unsigned([], CLAIMS, 'AAAA')],
    ['a header that is no JSON', `eyJ.${none.split('.')[1]}.AAAA`],
    ['a part that is no Base64', `${none.split('.')[0]}.ü.AAAA`],
    ['an algorithm that is a number', unsigned({ alg: 1 }, CLAIMS, 'AAAA')],
    ['a critical header', unsigned({ alg: 'HS256', crit: ['x'], x: 1 }, CLAIMS, 'AAAA')],
    ['a wrong signature', unsigned({ alg: 'HS256' }, CLAIMS, 'A'.repeat(43))],
    ['a payload that is no object', unsigned({ alg: 'HS256' }, [], 'A'.repeat(43))],
    ['a lot of nothing', 'x'.repeat(16_385)],
  ])('refuses %s, and repeats none of it', async (_what, token) => {
    const { status, message } = await refusal(token);
    expect(status).toBe(401);
    if (token.length > 8) expect(message).not.toContain(token.slice(0, 8));
  });

  it('refuses other secrets and other algorithms than that of its key', async () => {
    expect((await refusal(signed(CLAIMS, `${SECRET}!`))).message).toBe(
      'the token is not signed with a key that is known here',
    );
    for (const alg of ['HS384', 'HS512']) {
      const { message } = await refusal(signed(CLAIMS, SECRET.repeat(2), { alg }));
      expect(message).toBe('the token is not signed as this server accepts it');
    }
    expect((await refusal(signed(CLAIMS, es))).status).toBe(401);
  });

  it('takes no public key for a secret', async () => {
    const { publicKey } = keyPair('k', 'RS256');
    const rsa = new SubscriberTokens(RULES, { key: publicKey, algorithm: 'RS256' }, clock);
    for (const format of ['pem', 'der'] as const) {
      const bytes = publicKey.export({ type: 'spki', format } as never) as string | Buffer;
      const forged = await signed(CLAIMS, bytes.toString('latin1'));
      expect((await refusal(forged, rsa)).message).toBe('the token is not signed as this server accepts it');
    }
  });

  it.each(['RS256', 'ES256', 'EdDSA'] as const)(
    'verifies with the one algorithm of a key: %s',
    async (algorithm) => {
      const pair = keyPair('k', algorithm);
      const its = new SubscriberTokens(RULES, { key: pair.publicKey, algorithm }, clock);
      await expect(its.verify(await signed(CLAIMS, pair))).resolves.toBeDefined();
      expect((await refusal(signed(CLAIMS, keyPair('k', algorithm)), its)).status).toBe(401);
      expect((await refusal(signed(CLAIMS, SECRET), its)).status).toBe(401);
      expect((await refusal(none, its)).status).toBe(401);
    },
  );

  it('refuses whatever a token is changed to, with 401', async () => {
    const token = await signed({ ...CLAIMS, sub: 'ann' }, SECRET);
    const piece = fc.oneof(
      fc.string({ maxLength: 20 }),
      fc.base64String({ maxLength: 20 }),
      fc.json({ maxDepth: 2 }).map((json) => `.${Buffer.from(json).toString('base64url')}.`),
    );
    const place = fc.nat({ max: token.length });
    await fc.assert(
      fc.asyncProperty(place, place, piece, async (from, to, put) => {
        const changed = token.slice(0, Math.min(from, to)) + put + token.slice(Math.max(from, to));
        const result = await tokens.verify(changed).catch((error: unknown) => error);
        if (result instanceof Refusal) expect(result.status).toBe(401);
        // The last characters of a part hold bits that are not looked at.
        else expect(result).toMatchObject({ user: 'ann' });
      }),
      { numRuns: 500 },
    );
  });

  it('refuses more at once than it may have under way, and goes on when they are over', async () => {
    let open = (_key: VerificationKey) => {};
    const slow: KeySource = {
      find: () =>
        new Promise((resolve) => {
          const before = open;
          open = (key) => {
            before(key);
            resolve(key);
          };
        }),
    };
    const busy = new SubscriberTokens(RULES, slow, clock);
    const token = await signed(CLAIMS, es);
    const waiting = Array.from({ length: 256 }, () => busy.verify(token));
    // The keys are asked for some microtasks later.
    await new Promise((resolve) => setImmediate(resolve));
    const { status, details } = await refusal(token, busy);
    expect(status).toBe(503);
    expect(details.retryAfterMs).toBeGreaterThan(0);
    expect(details.closing).toMatchObject({ code: 1013, reconnect: true });
    open({ key: es.publicKey, algorithm: 'ES256' });
    await expect(Promise.all(waiting)).resolves.toHaveLength(256);
    const again = busy.verify(token);
    await new Promise((resolve) => setImmediate(resolve));
    open({ key: es.publicKey, algorithm: 'ES256' });
    await expect(again).resolves.toBeDefined();
  });
});

describe('tokenOf', () => {
  const of = (query: string, headers: Record<string, string> = {}) =>
    tokenOf({ url: new URL(`http://localhost/rooms/lobby${query}`), header: (name) => headers[name] });

  it.each<[string, string, Record<string, string>, string | undefined]>([
    ['nowhere', '', {}, undefined],
    ['in the header', '', { authorization: 'Bearer a.b' }, 'a.b'],
    ['in the header, in small letters', '', { authorization: 'bearer   a.b ' }, 'a.b'],
    ['in the query', '?access_token=a.b', {}, 'a.b'],
    ['in the subprotocol', '', { 'sec-websocket-protocol': 'belfry, bearer.a.b' }, 'a.b'],
    ['in the only subprotocol', '', { 'sec-websocket-protocol': 'bearer.a.b' }, 'a.b'],
    ['nowhere, with an empty query', '?access_token=', {}, undefined],
    ['nowhere, with a login for a proxy', '', { authorization: 'Basic YTpi' }, undefined],
    ['nowhere, with a scheme that begins alike', '', { authorization: 'Bearer-x a.b' }, undefined],
    ['in the query, with a login for a proxy', '?access_token=a.b', { authorization: 'Basic YTpi' }, 'a.b'],
    ['empty in the header', '', { authorization: 'Bearer' }, ''],
    ['empty in the subprotocol', '', { 'sec-websocket-protocol': 'bearer.' }, ''],
  ])('finds a token %s', (_where, query, headers, token) => {
    expect(of(query, headers)).toBe(token);
  });

  it.each<[string, string, Record<string, string>]>([
    ['header and query', '?access_token=a', { authorization: 'Bearer a' }],
    ['header and subprotocol', '', { authorization: 'Bearer a', 'sec-websocket-protocol': 'bearer.a' }],
    ['two queries', '?access_token=a&access_token=a', {}],
    ['two subprotocols', '', { 'sec-websocket-protocol': 'bearer.a, bearer.b' }],
  ])('refuses two tokens: %s', (_where, query, headers) => {
    expect(() => of(query, headers)).toThrow(expect.objectContaining({ status: 400 }));
  });
});
