import { type ParseErrorCode, printParseErrorCode, visit } from 'jsonc-parser';

/** Far more levels than a config file has, far fewer than the stack can hold. */
const MAX_DEPTH = 100;
/** Of a value or a key that a message repeats. */
const MAX_QUOTED_CHARACTERS = 60;

/**
 * Reads JSON as RFC 8259 defines it. Refuses a key that occurs twice in one object, of which
 * `JSON.parse` silently keeps the last. Throws a `SyntaxError` with the line and the column of the
 * first error, which `JSON.parse` of Node 20 mostly does not tell.
 */
export function parseJson(text: string): unknown {
  checkJson(text);
  return JSON.parse(text);
}

function checkJson(text: string): void {
  /** For each open object its keys, for each open list null. */
  const open: (Set<string> | null)[] = [];
  /** What comes next; the parser reports an unknown character before it knows what belongs there. */
  let expected = 'a document';

  const begin = (keys: Set<string> | null, line: number, column: number) => {
    if (open.length > MAX_DEPTH) throw errorAt(line, column, `more than ${MAX_DEPTH} levels deep`);
    open.push(keys);
    expected = keys ? 'a key in double quotes' : 'a value';
  };
  const endValue = () => {
    const keys = open.at(-1);
    expected = keys === undefined ? 'the end' : keys ? '"," or "}"' : '"," or "]"';
  };
  const end = (offset: number) => {
    // The parser also ends what the end of the file leaves open, and reports that error afterwards.
    if (offset === text.length) return;
    open.pop();
    endValue();
  };

  visit(
    text,
    {
      onObjectBegin: (_offset, _length, line, column) => begin(new Set(), line, column),
      onArrayBegin: (_offset, _length, line, column) => begin(null, line, column),
      onObjectEnd: end,
      onArrayEnd: end,
      onLiteralValue: endValue,
      onObjectProperty(key, _offset, _length, line, column) {
        const keys = open.at(-1);
        if (keys?.has(key)) throw errorAt(line, column, `the key "${cut(key)}" stands twice in one object`);
        keys?.add(key);
        expected = '":"';
      },
      onSeparator(separator) {
        expected = separator === ',' && open.at(-1) ? 'a key in double quotes' : 'a value';
      },
      // The first error is enough: the parser would go on behind it.
      onError(code, offset, _length, line, column) {
        throw errorAt(line, column, messageOf(code, text[offset], expected));
      },
    },
    { disallowComments: true },
  );
}

/** `line` and `column` from 0. */
function errorAt(line: number, column: number, message: string): SyntaxError {
  return new SyntaxError(`line ${line + 1}, column ${column + 1}: ${message}`);
}

function messageOf(code: ParseErrorCode, character: string | undefined, expected: string): string {
  const found = character === undefined ? 'the end of the file' : JSON.stringify(character);
  switch (printParseErrorCode(code)) {
    case 'UnexpectedEndOfString':
    case 'InvalidCharacter':
    case 'InvalidEscapeCharacter':
    case 'InvalidUnicode':
      return 'this string does not end on its line, or holds a wrong escape';
    case 'UnexpectedEndOfNumber':
      return 'this number has no digits where its fraction or exponent should be';
  }
  if (expected === 'the end') return `${found} follows after the end of the document`;
  if (expected !== 'a document') return `${expected} is expected, not ${found}`;
  return character === undefined ? 'the file is empty: the least is {}' : `a value is expected, not ${found}`;
}

/** Whether a part of a document is an object: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a key or position, undefined where the document has none; what is inherited is none. */
export function valueAt(value: unknown, step: PropertyKey): unknown {
  return Object.hasOwn(Object(value), step) ? Object(value)[step] : undefined;
}

/** A path in the document as messages write it: `schedules[1].feed.url`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${cut(String(step))}`))
    .join('')
    .replace(/^\./, '');
}

/** The beginning of a key or a string that a message repeats. */
export function cut(text: string): string {
  return text.length > MAX_QUOTED_CHARACTERS ? `${text.slice(0, MAX_QUOTED_CHARACTERS)}…` : text;
}

/** A value as messages repeat it: as the file has it, without the content of lists and objects, which may be secret. */
export function quoted(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(cut(value));
  if (Array.isArray(value)) return value.length === 0 ? '[]' : '[ … ]';
  if (isObject(value)) return Object.keys(value).length === 0 ? '{}' : '{ … }';
  return JSON.stringify(value) ?? 'nothing';
}
