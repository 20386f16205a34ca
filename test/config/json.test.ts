import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJson } from '../../src/config/json.ts';

describe('parseJson', () => {
  it.each([
    ['an empty file', '', 'line 1, column 1: the file is empty: the least is {}'],
    ['a blank file', ' \n ', 'line 2, column 2: the file is empty: the least is {}'],
    [
      'a file cut off in an object',
      '{"a": 1',
      'line 1, column 8: "," or "}" is expected, not the end of the file',
    ],
    [
      'a file cut off after a colon',
      '{\n"a":',
      'line 2, column 5: a value is expected, not the end of the file',
    ],
    [
      'a file cut off in a string',
      '{\n "a": "b',
      'line 2, column 7: this string does not end on its line, or holds a wrong escape',
    ],
    ['a trailing comma in a list', '[1,\r\n]', 'line 2, column 1: a value is expected, not "]"'],
    ['a missing comma', '{"a":1\n"b":2}', 'line 2, column 1: "," or "}" is expected, not "\\""'],
    ['a missing colon', '{"a" 1}', 'line 1, column 6: ":" is expected, not "1"'],
    ['a comment', '{} // c', 'line 1, column 4: "/" follows after the end of the document'],
    ['single quotes', "{'a':1}", 'line 1, column 2: a key in double quotes is expected, not "\'"'],
    ['YAML', 'a: 1', 'line 1, column 1: a value is expected, not "a"'],
    ['a leading zero', '[01]', 'line 1, column 3: "," or "]" is expected, not "1"'],
    [
      'a number that ends in its point',
      '[1.]',
      'line 1, column 2: this number has no digits where its fraction or exponent should be',
    ],
    ['a duplicate key', '{"a":1,\n "\\u0061":2}', 'line 2, column 2: the key "a" stands twice in one object'],
    ['brackets without end', '['.repeat(100_000), 'line 1, column 102: more than 100 levels deep'],
  ])('refuses %s', (_what, text, message) => {
    expect(() => parseJson(text)).toThrow(message);
  });

  it('reads a string of any length, escapes and all', () => {
    for (const piece of ['a', '\\n', '\\u00e4b']) {
      const text = `"${piece.repeat(2_000_000 / piece.length)}"`;
      expect(parseJson(text)).toHaveLength(JSON.parse(text).length);
    }
  });

  it('repeats the beginning of a long key', () => {
    const key = 'k'.repeat(1000);
    expect(() => parseJson(`{"${key}":1,"${key}":2}`)).toThrow(
      `the key "${'k'.repeat(60)}…" stands twice in one object`,
    );
  });

  it('accepts the same key in different objects', () => {
    expect(parseJson('[{"a":1},{"a":{"a":[]}}]')).toEqual([{ a: 1 }, { a: { a: [] } }]);
  });

  it('reads whatever JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('accepts nothing that JSON.parse refuses, and refuses nothing else but duplicate keys', () => {
    const scraps = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"b',
      '1',
      '-',
      '.5',
      'e3',
      'null',
      ' ',
      '\t',
    );
    fc.assert(
      fc.property(fc.array(scraps, { maxLength: 8 }), (parts) => {
        const text = parts.join('');
        expect(accepts(parseJson, text)).toBe(accepts(JSON.parse, text));
      }),
      { numRuns: 2000 },
    );
  });
});

function accepts(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text);
    return true;
  } catch (error) {
    return error instanceof Error && error.message.includes('twice');
  }
}
