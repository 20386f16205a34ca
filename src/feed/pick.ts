/** A JSON Pointer (RFC 6901), taken apart: the keys on the way from the top. */
export type Pointer = readonly string[];

export const POINTER_ACCEPTS =
  'a JSON Pointer: "" for all, or "/" and a key for each level, such as "/prices/0"';

const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/;
const INDEX = /^(?:0|[1-9][0-9]*)$/;

export const isPointer = (text: string): boolean => POINTER.test(text);

/** Takes a valid pointer apart. */
export function pointer(text: string): Pointer {
  // `~1` first: "~01" is the key "~1", not "/".
  const keys = text.split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  return keys.slice(1);
}

/** What stands at the pointer in a parsed JSON document; undefined: nothing does. */
export function pick(document: unknown, keys: Pointer): unknown {
  let value = document;
  for (const key of keys) {
    if (typeof value !== 'object' || value === null) return undefined;
    // Own properties only: "/__proto__" and "/length" lead nowhere.
    if (!Object.hasOwn(value, key) || (Array.isArray(value) && !INDEX.test(key))) return undefined;
    value = (value as Record<string, unknown>)[key]; // an object that has the key
  }
  return value;
}
