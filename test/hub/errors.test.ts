import { describe, expect, it } from 'vitest';
import { Refusal, reasonOf, shown } from '../../src/hub/errors.ts';

describe('the reason of a refusal', () => {
  it.each([
    [400, 'input'],
    [401, 'token'],
    [403, 'rule'],
    [404, 'unknown'],
    [405, 'method'],
    [406, 'representation'],
    [408, 'timeout'],
    [409, 'conflict'],
    [413, 'size'],
    [415, 'type'],
    [421, 'host'],
    [422, 'input'],
    [423, 'lock'],
    [426, 'upgrade'],
    [429, 'rate'],
    [431, 'size'],
    [500, 'internal'],
    [501, 'internal'],
    [503, 'full'],
  ])('follows from the status %i: %s', (status, reason) => {
    expect(new Refusal(status, 'no').reason).toBe(reason);
  });

  it('is what its thrower calls it, where that says more', () => {
    expect(new Refusal(503, 'no', { reason: 'draining' }).reason).toBe('draining');
  });

  it('is internal for what is no refusal', () => {
    expect(reasonOf(new Refusal(404, 'no'))).toBe('unknown');
    for (const thrown of [new TypeError('no'), undefined, 'no']) expect(reasonOf(thrown)).toBe('internal');
  });
});

it('an input that is wrong is a 400 that says where', () => {
  const refusal = Refusal.invalid('limit', '"x" is not a limit');
  expect(refusal).toMatchObject({ status: 400, message: '"x" is not a limit' });
  expect(refusal.details.errors).toEqual([{ path: 'limit', message: '"x" is not a limit' }]);
});

describe('a value that is shown', () => {
  it.each([
    ['lobby', '"lobby"'],
    ['a\nb"', '"a\\nb\\""'],
    [42, '42'],
    [null, 'null'],
    [undefined, 'undefined'],
    [() => 1, 'undefined'],
    [{ a: [1] }, '{"a":[1]}'],
  ])('is JSON: %j', (value, text) => {
    expect(shown(value)).toBe(text);
  });

  it('is cut where it is long, a text inside of its quotes', () => {
    expect(shown('abcdef', 3)).toBe('"abc…"');
    expect(shown('abc', 3)).toBe('"abc"');
    expect(shown([1, 2, 3], 3)).toBe('[1,…');
    expect(shown('x'.repeat(1_000_000))).toHaveLength(83);
  });

  it('holds no token, whole or cut', () => {
    const token = `eyJhbGciOiJIUzI1NiJ9.${'x'.repeat(90)}.abc`;
    expect(shown(token)).toBe('"***…"');
    expect(shown(`a ${token.slice(0, 40)} b`)).toBe('"a *** b"');
    expect(shown({ token })).toBe('{"token":"***…');
  });
});
