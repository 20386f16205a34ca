import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { tokenCheck, tokenHolder } from '../../src/access/tokens.ts';
import { Refusal } from '../../src/hub/errors.ts';

const sha256 = (token: string): string => createHash('sha256').update(token).digest('hex');
const check = tokenCheck([
  { name: 'ops', role: 'operator', sha256: sha256('s3cret') },
  { name: 'wall', role: 'viewer', sha256: sha256('look').toUpperCase() },
  { name: 'ops-again', role: 'viewer', sha256: sha256('s3cret') },
]);

describe('tokenCheck', () => {
  it('names the holder of each token', () => {
    expect(check('s3cret')).toMatchObject({ name: 'ops', role: 'operator' });
    expect(check('look')).toMatchObject({ name: 'wall', role: 'viewer' });
  });

  it('knows nobody for a wrong, empty or shortened token, and for a digest', () => {
    for (const token of ['', 's3cre', 's3cret ', 'S3CRET', sha256('s3cret')]) expect(check(token)).toBeNull();
  });

  it('knows nobody where there are no tokens', () => {
    expect(tokenCheck([])('s3cret')).toBeNull();
  });

  it.each([
    ['lobby', ['lobby'], true],
    ['lobby', ['hall', 'ops-*'], false],
    ['ops-1', ['hall', 'ops-*'], true],
    ['ops-*', ['ops-*'], true],
    ['ops-1*', ['ops-*'], true],
    ['ops*', ['ops-*'], false],
    ['*', ['ops-*'], false],
    ['*', ['o*', '*s', '*-*'], false],
    ['a*', ['a*b'], false],
    ['a*c*b', ['a*b'], true],
    ['**', ['*'], true],
    ['*', ['**'], true],
    ['*', ['*'], true],
    ['Lobby', ['lobby'], false],
    ['lobby', [], false],
  ])('says whether %s is covered by %j: %s', (target, rooms, isCovered) => {
    const publishers = tokenCheck([{ name: 'kiosk', role: 'publisher', rooms, sha256: sha256('s3cret') }]);
    expect(publishers('s3cret')?.covers(target)).toBe(isCovered);
  });

  it('covers no room for other roles', () => {
    for (const token of ['s3cret', 'look'])
      for (const room of ['lobby', '*']) expect(check(token)?.covers(room)).toBe(false);
  });

  it('takes a token in UTF-8 as its bytes arrive in a header', () => {
    const umlauts = tokenCheck([{ name: 'ops', role: 'operator', sha256: sha256('glöckner') }]);
    expect(umlauts(Buffer.from('glöckner').toString('latin1'))).toMatchObject({ name: 'ops' });
  });

  it('refuses what is no SHA-256 when it is built', () => {
    for (const wrong of ['', 'abc', sha256('x').slice(2), `zz${sha256('x').slice(2)}`])
      expect(() => tokenCheck([{ name: 'ops', role: 'operator', sha256: wrong }])).toThrow(/token "ops"/);
  });
});

describe('tokenHolder', () => {
  const holder = (authorization?: string, query = '') =>
    tokenHolder(
      new Request(`http://localhost/admin/rooms${query}`, {
        headers: authorization === undefined ? {} : { authorization },
      }),
      check,
    );

  function refusal(authorization?: string, query?: string): Refusal {
    try {
      holder(authorization, query);
    } catch (error) {
      if (error instanceof Refusal) return error;
    }
    throw new Error('it was let in');
  }

  it('takes the scheme in any case', () => {
    expect(holder('bearer s3cret')).toMatchObject({ name: 'ops' });
    expect(holder('BEARER   s3cret')).toMatchObject({ name: 'ops' });
  });

  it.each([
    ['no header', undefined, /a token is needed/],
    ['another scheme', 'Basic czNjcmV0', /must read "Bearer <token>"/],
    ['no token', 'Bearer', /must read "Bearer <token>"/],
    ['two tokens', 'Bearer s3cret look', /must read "Bearer <token>"/],
    ['the bare token', 's3cret', /must read "Bearer <token>"/],
    ['a wrong token', 'Bearer nope', /not known/],
  ])('answers 401 with a challenge for %s', (_, authorization, message) => {
    const { status, message: text, details } = refusal(authorization);
    expect(status).toBe(401);
    expect(text).toMatch(message);
    expect(details.headers).toEqual({ 'WWW-Authenticate': 'Bearer' });
  });

  it('takes no token from the address and says where it belongs', () => {
    const { status, message } = refusal(undefined, '?access_token=s3cret');
    expect(status).toBe(401);
    expect(message).toMatch(/not taken from the address: send the header/);
  });

  it('does not repeat the token that was wrong', () => {
    expect(refusal('Bearer my-other-secret').message).not.toContain('my-other-secret');
  });
});
