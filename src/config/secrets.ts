import { feedKinds } from '../feed/kinds.ts';
import { isObject } from './document.ts';

/** What stands where something secret stood. */
export const REMOVED = '***';

/**
 * The places of the file that hold secrets, and what of them may be shown. Both the shown configuration
 * and the faults go by it. `[]` is every item of a list, `*` every key. Of the options of a feed whose
 * kind is not built in no string is shown, because which of them are secret is unknown.
 */
const SECRETS: Readonly<Record<string, (value: unknown) => unknown>> = {
  'admin.tokens.[].token': () => REMOVED,
  'admin.tokens.[].sha256': () => REMOVED,
  'schedules.[].feed.argv': program,
  'schedules.[].feed.env.*': () => REMOVED,
  'schedules.[].feed.headers.*': () => REMOVED,
  'schedules.[].feed.url': address,
};

/** A step on the way to a secret, or the place of one. */
interface Place {
  readonly steps: Map<string, Place>;
  shown?: (value: unknown) => unknown;
}

const root: Place = { steps: new Map() };
for (const [path, shown] of Object.entries(SECRETS)) {
  let place = root;
  for (const step of path.split('.')) {
    const next: Place = place.steps.get(step) ?? { steps: new Map() };
    place.steps.set(step, next);
    place = next;
  }
  place.shown = shown;
}
const feed = root.steps.get('schedules')?.steps.get('[]')?.steps.get('feed');
const ownKinds: ReadonlySet<unknown> = new Set(feedKinds.map(({ type }) => type));

function next({ steps }: Place, step: PropertyKey): Place | undefined {
  if (typeof step === 'number') return steps.get('[]');
  return steps.get(String(step)) ?? steps.get('*');
}

/** A document, or a part of one, without its secrets. The document itself is not changed. */
export function withoutSecrets(document: unknown): unknown {
  return masked(document, root);
}

function masked(value: unknown, place: Place): unknown {
  if (place.shown) return place.shown(value);
  if (Array.isArray(value)) {
    const item = place.steps.get('[]');
    return item ? value.map((each) => masked(each, item)) : value;
  }
  if (!isObject(value)) return value;
  const isForeign = place === feed && !ownKinds.has(value.type);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const inner = next(place, key);
      if (inner) return [key, masked(item, inner)];
      return [key, isForeign && key !== 'type' ? withoutStrings(item) : item];
    }),
  );
}

function withoutStrings(value: unknown): unknown {
  if (typeof value === 'string') return REMOVED;
  if (Array.isArray(value)) return value.map(withoutStrings);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutStrings(item)]));
}

/**
 * Whether what stands at `path` must not be repeated: a secret, a part of one, or what stands where an
 * object or a list with secrets in it belongs and so may be one that was put in the wrong place.
 */
export function isSecret(document: unknown, path: readonly PropertyKey[]): boolean {
  let place = root;
  let value = document;
  for (const step of path) {
    if (place.shown) return true;
    const isForeign = place === feed && step !== 'type' && !ownKinds.has(Object(value).type);
    const inner = next(place, step);
    if (inner === undefined) return isForeign;
    place = inner;
    value = valueAt(value, step);
  }
  return true;
}

/** Name of a header or a variable. Anything else may hold the value too: `"authorization: Bearer …"`. */
const NAME = /^[\w!#$%&'*+.^`|~-]{1,64}$/;

export function isName(key: PropertyKey): boolean {
  return NAME.test(String(key));
}

/**
 * The beginning of a path in a document that a fault may tell: up to the first key that may be secret
 * itself, because it is no name, or because it stands inside a secret or where no object belongs. Also
 * for places that no schema has looked at.
 */
export function shownPath(document: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] {
  let place: Place | undefined = root;
  let value = document;
  let inSecret = false;
  for (const [index, step] of path.entries()) {
    if (typeof step !== 'number' && (inSecret || !isName(step))) return path.slice(0, index);
    const inner: Place | undefined = place && next(place, step);
    // Of the options of a feed most hold nothing secret.
    const isOption = place === feed && ownKinds.has(Object(value).type);
    inSecret ||= inner?.shown !== undefined || (place !== undefined && inner === undefined && !isOption);
    place = inner;
    value = valueAt(value, step);
  }
  return path;
}

/** Whether the key at the end of `path` is one that the file makes up, such as the name of a header. */
export function isMadeUp(path: readonly PropertyKey[]): boolean {
  let place: Place | undefined = root;
  for (const step of path.slice(0, -1)) place = place && next(place, step);
  return place?.steps.has('*') ?? false;
}

/** What a value of a document has at a key, if it has it itself. */
export function valueAt(value: unknown, step: PropertyKey): unknown {
  return Object.hasOwn(Object(value), step) ? Object(value)[step] : undefined;
}

/** Of a command the program: what follows may be a password as well as a path. */
function program(argv: unknown): unknown {
  if (!Array.isArray(argv)) return REMOVED;
  const [name, ...others] = argv;
  // A whole line where the program alone belongs.
  const shown = typeof name === 'string' && !/\s/.test(name) ? name : REMOVED;
  return [shown, ...others.map(() => REMOVED)];
}

/** References to the environment: they stand in an address before it can be parsed. */
const REFERENCE = /\$\{[A-Za-z_][A-Za-z0-9_]*\}/g;
/** What they are replaced by meanwhile, which every part of an address but the port can hold. */
const STAND_IN = /x(\d+)reference/g;

/** An address without user, password, query and fragment; nothing of what is no proper address. */
export function address(text: unknown): string {
  if (typeof text !== 'string' || /[\s\\]/.test(text) || text.search(STAND_IN) !== -1) return REMOVED;
  const references: string[] = [];
  const parsable = text.replace(REFERENCE, (reference) => `x${references.push(reference) - 1}reference`);
  const url = URL.canParse(parsable) ? new URL(parsable) : undefined;
  if (!url?.host) return REMOVED;
  const { protocol, username, password, host, pathname, search, hash } = url;
  // In the words of the file where there is nothing to hide.
  if (`${username}${password}${search}${hash}` === '') return text;
  const login = username || password ? `${REMOVED}@` : '';
  const rest = `${search && `?${REMOVED}`}${hash && `#${REMOVED}`}`;
  return `${protocol}//${login}${host}${pathname}${rest}`.replace(
    STAND_IN,
    (_, index) => references[index] ?? '',
  );
}
