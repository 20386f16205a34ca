import { isObject } from './document.ts';
import { type Fault, pathText } from './faults.ts';

/** A document whose feeds have been filled from the environment. */
export interface Substituted {
  readonly document: unknown;
  readonly faults: readonly Fault[];
  /** Puts the names back where a message would repeat what they stand for. */
  conceal(message: string): string;
}

/** `$${` is a plain `${`. */
const REFERENCE = /\$\$\{|\$\{([^}]*)\}/g;

/** Replaces `${NAME}` in every string inside a `feed`; keys stay as they are. The input is not changed. */
export function substitute(document: unknown, env: NodeJS.ProcessEnv): Substituted {
  const faults: Fault[] = [];
  const names = new Map<string, string>();

  const fill = (value: unknown, path: readonly PropertyKey[]): unknown => {
    if (typeof value === 'string') return value.replace(REFERENCE, (all, name) => lookUp(all, name, path));
    if (Array.isArray(value)) return value.map((item, index) => fill(item, [...path, index]));
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, [...path, key])]));
  };

  const lookUp = (all: string, name: string | undefined, path: readonly PropertyKey[]): string => {
    if (name === undefined) return '${';
    // `${constructor}` is no variable, though every object has one.
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value === undefined) {
      const message = `the environment variable ${name} is not set (a plain "\${" is written "$\${")`;
      faults.push({ path: pathText(path), message });
      return all;
    }
    if (value !== '') names.set(value, name);
    return value;
  };

  const schedules = isObject(document) ? document.schedules : undefined;
  if (!isObject(document) || !Array.isArray(schedules)) return { document, faults, conceal: (text) => text };
  const filled = schedules.map((entry: unknown, index) =>
    isObject(entry) && 'feed' in entry
      ? { ...entry, feed: fill(entry.feed, ['schedules', index, 'feed']) }
      : entry,
  );
  return {
    document: { ...document, schedules: filled },
    faults,
    conceal(message) {
      // The longest first, so that a value that holds another leaves nothing of itself.
      const values = [...names].sort(([a], [b]) => b.length - a.length);
      return values.reduce(
        (text, [value, name]) =>
          text
            .replaceAll(JSON.stringify(value).slice(1, -1), () => `\${${name}}`)
            .replaceAll(value, () => `\${${name}}`),
        message,
      );
    },
  };
}
