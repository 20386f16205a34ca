import { feedKinds } from '../feed/kinds.ts';
import { isObject, valueAt } from './json.ts';

const REMOVED = '***';

/** What of a secret may be shown. */
type Redactor = (value: unknown) => unknown;

/** Keys that lead to secrets: `[]` is every position of a list, `*` is every key. */
interface Place {
  readonly [step: string]: Place | Redactor;
}

const remove: Redactor = () => REMOVED;

const FEED: Place = {
  argv: program,
  env: { '*': remove },
  headers: { '*': remove },
  url: address,
};

/**
 * The secrets of the config file. Both the shown configuration and the errors go by this table. Of the
 * options of a feed whose kind is not built in no string is shown, because it is unknown which of
 * them are secret.
 */
const ROOT: Place = {
  admin: { tokens: { '[]': { token: remove, sha256: remove } } },
  schedules: { '[]': { feed: FEED } },
};

const builtInKinds: ReadonlySet<unknown> = new Set(feedKinds.map(({ type }) => type));

function hasBuiltInKind(feed: unknown): boolean {
  return builtInKinds.has(valueAt(feed, 'type'));
}

function next(place: Place | Redactor | undefined, step: PropertyKey): Place | Redactor | undefined {
  if (place === undefined || typeof place === 'function') return undefined;
  if (typeof step === 'number') return place['[]'];
  return Object.hasOwn(place, step) ? place[String(step)] : place['*'];
}

/**
 * The configuration for everybody with a viewer's token: the document as it is written, references to
 * the environment included, completed with the defaults of `schema` (the JSON Schema of the file) and
 * without its secrets. The document must have passed the schema; it is not changed.
 */
export function shownConfig(document: unknown, schema: object): Record<string, unknown> {
  const shown = redacted(completed(document, schema), ROOT);
  if (!isObject(shown)) return {};
  const { $schema, ...config } = shown;
  return config;
}

function redacted(value: unknown, place: Place | Redactor): unknown {
  if (typeof place === 'function') return place(value);
  if (Array.isArray(value)) {
    const item = place['[]'];
    return item ? value.map((each) => redacted(each, item)) : value;
  }
  if (!isObject(value)) return value;
  const hidesStrings = place === FEED && !hasBuiltInKind(value);
  return mapValues(value, (item, key) => {
    const inner = next(place, key);
    if (inner) return redacted(item, inner);
    return hidesStrings && key !== 'type' ? withoutStrings(item) : item;
  });
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
  const given = value === undefined ? defaultOf(schema) : value;
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

/** The JSON Schema has no default for lists whose items are transformed; it is the empty list. */
function defaultOf(schema: Record<string, unknown>): unknown {
  return schema.default ?? (schema.type === 'array' ? [] : undefined);
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

/**
 * Whether an error must not repeat the value at `path`: a secret, a part of one, or a value in the
 * place of an object or a list with secrets in it, since it may be a misplaced secret.
 */
export function isSecret(document: unknown, path: readonly PropertyKey[]): boolean {
  let place: Place | Redactor = ROOT;
  let value = document;
  for (const step of path) {
    if (typeof place === 'function') return true;
    const inner = next(place, step);
    if (inner === undefined) return place === FEED && step !== 'type' && !hasBuiltInKind(value);
    place = inner;
    value = valueAt(value, step);
  }
  return true;
}

/** The name of a header or a variable. Other text may hold the value too: `"authorization: Bearer …"`. */
const NAME = /^[\w!#$%&'*+.^`|~-]{1,64}$/;

/** Whether the last key of `path` is chosen by the file's author, such as a header's, and is no name. */
export function endsInMalformedName(path: readonly PropertyKey[]): boolean {
  const key = path.at(-1);
  let place: Place | Redactor | undefined = ROOT;
  for (const step of path.slice(0, -1)) place = next(place, step);
  return typeof place === 'object' && '*' in place && key !== undefined && !NAME.test(String(key));
}

/**
 * The beginning of a path to a reference such as `${NAME}` that an error may name, before any schema
 * has checked the document. It ends at the first key that may be a secret itself: one that is no name,
 * or one inside a secret or in a place where no object belongs.
 */
export function shownPath(document: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] {
  // References occur in feeds only: `schedules`, a position, `feed`, an option, and what the option holds.
  const feed = path.slice(0, 3).reduce(valueAt, document);
  const [, , , option = ''] = path;
  const place = next(FEED, option);
  const holdsSecrets = place !== undefined || !hasBuiltInKind(feed);
  const shownSteps = !holdsSecrets ? path.length : typeof place === 'object' ? 5 : 4;
  const end = path.findIndex(
    (step, index) => typeof step !== 'number' && (index >= shownSteps || !NAME.test(String(step))),
  );
  return end === -1 ? path : path.slice(0, end);
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
