import { describe, expect, it } from 'vitest';
import { isPointer, pick } from '../../src/feed/content.ts';

/** RFC 6901, chapter 5. */
const document = JSON.parse(
  '{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\\\j":5,"k\\"l":6," ":7,"m~n":8}',
);

describe('a JSON Pointer', () => {
  it.each([
    ['', document],
    ['/foo', ['bar', 'baz']],
    ['/foo/0', 'bar'],
    ['/', 0],
    ['/a~1b', 1],
    ['/c%d', 2],
    ['/e^f', 3],
    ['/g|h', 4],
    ['/i\\j', 5],
    ['/k"l', 6],
    ['/ ', 7],
    ['/m~0n', 8],
  ])('%j leads where RFC 6901 says', (text, expected) => {
    expect(isPointer(text)).toBe(true);
    expect(pick(document, text)).toEqual(expected);
  });

  it('reads ~01 as the key ~1', () => {
    expect(pick({ '~1': 'yes', '/': 'no' }, '/~01')).toBe('yes');
  });

  it('tells null from nothing', () => {
    expect(pick({ a: null }, '/a')).toBe(null);
    expect(pick({ a: null }, '/a/b')).toBe(undefined);
  });

  it.each([
    '/foo/2',
    '/foo/-',
    '/foo/00',
    '/foo/01',
    '/foo/1e0',
    '/foo/-1',
    '/foo/length',
    '/foo/0/length',
    '/foo/map',
    '/bar',
    '//',
    '/__proto__',
    '/constructor',
    '/constructor/prototype',
    '/foo/__proto__',
    '/toString',
    '/hasOwnProperty',
  ])('%j leads nowhere', (text) => {
    expect(pick(document, text)).toBe(undefined);
  });

  it('finds a key __proto__ that the document itself has', () => {
    expect(pick(JSON.parse('{"__proto__":{"a":1}}'), '/__proto__/a')).toBe(1);
  });

  it.each(['foo', 'foo/bar', '#/foo', '/a~', '/a~2', '/~', ' /a'])('%j is none', (text) => {
    expect(isPointer(text)).toBe(false);
  });
});
