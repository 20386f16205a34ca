import type { FeedKind, SecretPart } from '../feed/feed.ts';
import { isObject, valueAt } from './json.ts';

const REMOVED = '***';

/** Makes of a secret what may be shown. */
type Redactor = (value: unknown) => unknown;

/** Keys that lead to secrets: `[]` is every position of a list, `*` is every key. */
interface Place {
  readonly [step: string]: Place | Redactor;
}

const remove: Redactor = () => REMOVED;

/** Marks a feed, in which the secrets depend on its kind: see `#ofOption`. */
const FEED: Place = {};

const ROOT: Place = {
  access: { jwksUrl: address },
  admin: { tokens: { '[]': { token: remove, sha256: remove } } },
  schedules: { '[]': { feed: FEED } },
};

/** What each `SecretPart` leaves out of an option. */
const PLACES: Readonly<Record<SecretPart, Place | Redactor>> = {
  all: remove,
  values: { '*': remove, '[]': remove },
  address,
  arguments: program,
};

/** The name of a header or a variable. Other text may hold the value too: `"authorization: Bearer …"`. */
const NAME = /^[\w!#$%&'*+.^`|~-]{1,64}$/;

/**
 * The secrets of a config file: what its sections and its kinds of feed say is secret. Both the shown
 * configuration and the messages about faults leave them out.
 */
export class Secrets {
  readonly #kinds: ReadonlyMap<unknown, FeedKind>;

  constructor(kinds: readonly FeedKind[]) {
    this.#kinds = new Map(kinds.map((kind) => [kind.type, kind]));
  }

  /**
   * The configuration for everybody with a viewer's token: the document as it is written, references to
   * the environment included, completed with the defaults of `schema` (the JSON Schema of the file) and
   * without its secrets. The document must have passed the schema; it is not changed.
   */
  shownConfig(document: unknown, schema: object): Record<string, unknown> {
    const shown = this.#redacted(completed(document, schema), ROOT);
    if (!isObject(shown)) return {};
    const { $schema, ...config } = shown;
    return config;
  }

  /**
   * Whether a message must not repeat the value at `path`: a secret, a part of one, or a value in the
   * place of an object or a list with secrets in it, since it may be a misplaced secret.
   */
  hides(document: unknown, path: readonly PropertyKey[]): boolean {
    return this.#placeAt(document, path) !== undefined;
  }

  /** Whether the last key of `path` is chosen by the file's author, such as a header's, and is no name. */
  endsInMalformedName(document: unknown, path: readonly PropertyKey[]): boolean {
    const key = path.at(-1);
    const place = this.#placeAt(document, path.slice(0, -1));
    const isChosen = typeof place === 'function' || (place !== undefined && '*' in place);
    return isChosen && key !== undefined && !NAME.test(String(key));
  }

  /**
   * The beginning of a path to a reference such as `${NAME}` that a message may name, before any schema
   * has checked the document. It ends at the first key that may be a secret itself: one that is no name,
   * or one inside a secret or in a place where no object belongs.
   */
  shownPath(document: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] {
    // References occur in feeds only: `schedules`, a position, `feed`, an option, and what the option holds.
    const place = this.#placeAt(document, path.slice(0, 4));
    const isPlain = place === undefined && path[3] !== 'type';
    const shownSteps = isPlain ? path.length : typeof place === 'object' ? 5 : 4;
    const end = path.findIndex(
      (step, index) => typeof step !== 'number' && (index >= shownSteps || !NAME.test(String(step))),
    );
    return end === -1 ? path : path.slice(0, end);
  }

  /** What is secret at `path`; undefined: nothing. Everything inside a secret is one. */
  #placeAt(document: unknown, path: readonly PropertyKey[]): Place | Redactor | undefined {
    let place: Place | Redactor | undefined = ROOT;
    let value = document;
    for (const step of path) {
      if (typeof place !== 'object') return place;
      place = this.#next(place, value, step);
      value = valueAt(value, step);
    }
    return place;
  }

  #next(place: Place, value: unknown, step: PropertyKey): Place | Redactor | undefined {
    if (place === FEED) return this.#ofOption(value, step);
    if (typeof step === 'number') return place['[]'];
    return Object.hasOwn(place, step) ? place[String(step)] : place['*'];
  }

  /** Of an option that no kind has, or one of a kind that names no secrets, every string may be secret. */
  #ofOption(feed: unknown, option: PropertyKey): Place | Redactor | undefined {
    if (option === 'type') return undefined;
    const { options, secrets } = this.#kinds.get(valueAt(feed, 'type')) ?? {};
    if (!options || !secrets || !Object.hasOwn(options.shape, option)) return withoutStrings;
    const part = valueAt(secrets, option) as SecretPart | undefined; // by the type of `secrets`
    // A program written in JavaScript can give any word.
    return part && (Object.hasOwn(PLACES, part) ? PLACES[part] : remove);
  }

  #redacted(value: unknown, place: Place | Redactor): unknown {
    if (typeof place === 'function') return place(value);
    const inner = (item: unknown, step: PropertyKey) => {
      const next = this.#next(place, value, step);
      return next ? this.#redacted(item, next) : item;
    };
    if (Array.isArray(value)) return value.map(inner);
    // A string in the place of an object with secrets may be one.
    return isObject(value) ? mapValues(value, inner) : withoutStrings(value);
  }
}

function withoutStrings(value: unknown): unknown {
  if (typeof value === 'string') return REMOVED;
  if (Array.isArray(value)) return value.map(withoutStrings);
  return isObject(value) ? mapValues(value, withoutStrings) : value;
}

function mapValues(object: object, map: (value: unknown, key: string) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]));
}

/** Fills in the defaults of the schema at every depth. */
function completed(value: unknown, schema: unknown): unknown {
  if (!isObject(schema)) return value;
  const given = value === undefined ? schema.default : value;
  if (Array.isArray(given)) return given.map((item) => completed(item, schema.items));
  if (!isObject(given)) return given;
  const properties = propertiesFor(given, schema);
  if (properties === undefined) return given;
  const filled = Object.keys({ ...properties, ...given }).map((key) => [
    key,
    completed(valueAt(given, key), properties[key]),
  ]);
  return Object.fromEntries(filled.filter(([, item]) => item !== undefined));
}

/** Where the schema has several forms, that of the object's `type`; undefined if nothing is known. */
function propertiesFor(value: Record<string, unknown>, schema: Record<string, unknown>) {
  const forms = Array.isArray(schema.oneOf) ? schema.oneOf : [];
  const form = forms.find(
    ({ properties }) => value.type !== undefined && properties?.type?.const === value.type,
  );
  const properties = form?.properties ?? schema.properties;
  return isObject(properties) ? properties : undefined;
}

/** Of a command only the program: an argument may be a password as well as a path. */
function program(argv: unknown): unknown {
  if (!Array.isArray(argv)) return REMOVED;
  const [name, ...others] = argv;
  // A blank means that a whole command line stands where the program belongs.
  const shown = typeof name === 'string' && !/\s/.test(name) ? name : REMOVED;
  return [shown, ...others.map(remove)];
}

/** References to the environment: `${HOST}` cannot be parsed as a part of an address. */
const REFERENCE = /\$\{[A-Za-z_][A-Za-z0-9_]*\}/g;
/** Replaces a reference while the address is parsed; every part of an address but the port can hold it. */
const STAND_IN = /x(\d+)reference/g;

/** An address without user, password, query and fragment; `***` for anything that is no address. */
export function address(text: unknown): string {
  if (typeof text !== 'string' || /[\s\\]/.test(text) || text.search(STAND_IN) !== -1) return REMOVED;
  const references: string[] = [];
  const parsable = text.replace(REFERENCE, (reference) => `x${references.push(reference) - 1}reference`);
  const url = URL.canParse(parsable) ? new URL(parsable) : undefined;
  if (!url?.host) return REMOVED;
  const { protocol, username, password, host, pathname, search, hash } = url;
  // Exactly as written where there is nothing to hide.
  if (`${username}${password}${search}${hash}` === '') return text;
  const login = username || password ? `${REMOVED}@` : '';
  const rest = `${search && `?${REMOVED}`}${hash && `#${REMOVED}`}`;
  return `${protocol}//${login}${host}${pathname}${rest}`.replace(
    STAND_IN,
    (_, index) => references[index] ?? '',
  );
}
