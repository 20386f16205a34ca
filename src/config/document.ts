/** Text that is not JSON. `offset` counts characters from 0. */
export class JsonTextError extends Error {
  override readonly name = 'JsonTextError';
  readonly line: number;
  readonly column: number;

  constructor(text: string, offset: number, message: string) {
    const before = text.slice(0, offset).split('\n');
    const [line, column] = [before.length, (before.at(-1)?.length ?? 0) + 1];
    super(`line ${line}, column ${column}: ${message}`);
    this.line = line;
    this.column = column;
  }
}

const BLANK = /[ \t\n\r]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const WORD = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const [QUOTE, BACKSLASH, SPACE] = [0x22, 0x5c, 0x20];
/** The most of a key that a message repeats. */
const LONGEST_KEY = 60;
/** Far more than a config file has, far less than the stack. */
const DEEPEST = 100;

/**
 * Reads JSON as RFC 8259 has it, and refuses a key that stands twice in one object, where
 * `JSON.parse` would keep the last in silence. Throws a `JsonTextError` that says where the text
 * stops being JSON, which `JSON.parse` of Node 20 mostly does not.
 */
export function parseJson(text: string): unknown {
  new Reader(text).document();
  return JSON.parse(text);
}

/** Walks over the text without keeping anything of it. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#take(BLANK);
    if (this.#at === this.#text.length) this.#fail('the file is empty: the least is {}');
    this.#value(0);
    if (this.#at < this.#text.length) this.#fail(`${this.#here()} follows after the end of the document`);
  }

  /** A value and the blanks after it. */
  #value(depth: number): void {
    if (depth > DEEPEST) this.#fail(`more than ${DEEPEST} levels deep`);
    if (this.#skip('{')) this.#object(depth);
    else if (this.#skip('[')) this.#list(']', () => this.#value(depth + 1));
    else if (this.#text[this.#at] === '"') this.#string();
    else if (this.#take(WORD) === '') this.#fail(`a value is expected, not ${this.#here()}`);
    this.#take(BLANK);
  }

  #object(depth: number): void {
    const keys = new Set<string>();
    this.#list('}', () => {
      const start = this.#at;
      if (this.#text[start] !== '"') this.#fail(`a key in double quotes is expected, not ${this.#here()}`);
      const key = JSON.parse(this.#string());
      if (keys.has(key)) this.#fail(`the key "${cut(key)}" stands twice in one object`, start);
      keys.add(key);
      this.#take(BLANK);
      if (!this.#skip(':')) this.#fail(`":" is expected, not ${this.#here()}`);
      this.#value(depth + 1);
    });
  }

  /** Items between commas, up to `end`; the opening bracket has been read. */
  #list(end: string, item: () => void): void {
    if (this.#skip(end)) return;
    do item();
    while (this.#skip(','));
    if (!this.#skip(end)) this.#fail(`"," or "${end}" is expected, not ${this.#here()}`);
  }

  /** As it is written. By hand: a regular expression keeps each character of a long one on its stack, which ends. */
  #string(): string {
    const start = this.#at;
    const text = this.#text;
    this.#at++;
    for (let code = this.#code(); code !== QUOTE; code = this.#code()) {
      if (code !== BACKSLASH && code >= SPACE) this.#at++;
      else if (this.#take(ESCAPE) === '')
        this.#fail('this string does not end on its line, or holds a wrong escape', start);
    }
    this.#at++;
    return text.slice(start, this.#at);
  }

  /** Reads a character and the blanks after it, if it is the one that comes. */
  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    this.#take(BLANK);
    return true;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  /** NaN at the end of the text, which no comparison is true for. */
  #code(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #here(): string {
    const character = this.#text[this.#at];
    return character === undefined ? 'the end of the file' : JSON.stringify(character);
  }

  #fail(message: string, at = this.#at): never {
    throw new JsonTextError(this.#text, at, message);
  }
}

function cut(key: string): string {
  return key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY)}…` : key;
}

/** Whether a part of a document is an object, whose keys can be looked at. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
