import { isObject } from './document.ts';

/** What is wrong with a reference, and where; the keys on the way there may be secrets. */
export interface ReferenceFault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** A document whose feeds have been filled from the environment. */
export interface Substituted {
  readonly document: unknown;
  readonly faults: readonly ReferenceFault[];
  /** Puts the names back where a message about `path` would repeat what they stand for. */
  conceal(message: string, path: readonly PropertyKey[]): string;
}

/** The names that a feed refers to, by what they stand for. */
type Names = Map<string, string>;

/** Replaces `${NAME}` in every string inside a `feed`; keys stay as they are. The input is not changed. */
export function substitute(document: unknown, env: NodeJS.ProcessEnv): Substituted {
  const faults: ReferenceFault[] = [];
  const namesOf: Names[] = [];

  const fill = (value: unknown, path: readonly PropertyKey[], names: Names): unknown => {
    if (typeof value === 'string') return filled(value, (name, all) => lookUp(name, all, path, names));
    if (Array.isArray(value)) return value.map((item, index) => fill(item, [...path, index], names));
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, fill(item, [...path, key], names)]),
    );
  };

  const lookUp = (name: string, all: string, path: readonly PropertyKey[], names: Names): string => {
    // `${constructor}` is no variable, though every object has one.
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value === undefined) {
      faults.push({ path, message: `${notSet(name)} (a plain "\${" is written "$\${")` });
      return all;
    }
    if (value !== '') names.set(value, name);
    return value;
  };

  const schedules = isObject(document) ? document.schedules : undefined;
  if (!isObject(document) || !Array.isArray(schedules)) return { document, faults, conceal: (text) => text };
  const entries = schedules.map((entry: unknown, index) => {
    const names: Names = new Map();
    namesOf.push(names);
    if (!isObject(entry) || !('feed' in entry)) return entry;
    return { ...entry, feed: fill(entry.feed, ['schedules', index, 'feed'], names) };
  });
  return {
    document: { ...document, schedules: entries },
    faults,
    conceal(message, [section, index]) {
      const names = section === 'schedules' ? namesOf[Number(index)] : undefined;
      // The longest first, so that a value that holds another leaves nothing of itself.
      const values = [...(names ?? [])].sort(([a], [b]) => b.length - a.length);
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

/** What is no name may be part of a secret, such as a password with a `${` in it. */
function notSet(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `the environment variable ${name} is not set`;
  return `what stands between "\${" and "}" is not the name of a variable: write letters, digits and _, not starting with a digit`;
}

/**
 * A string with its references replaced: `${NAME}` by what `lookUp` gives, `$${` by a plain `${`. Linear
 * in its length; a regular expression would search to the end of the string from every `${`.
 */
function filled(text: string, lookUp: (name: string, reference: string) => string): string {
  let result = '';
  let from = 0;
  for (let at = text.indexOf('${'); at !== -1; at = text.indexOf('${', from)) {
    if (at > from && text[at - 1] === '$') {
      result += `${text.slice(from, at - 1)}\${`;
      from = at + 2;
      continue;
    }
    const end = text.indexOf('}', at);
    if (end === -1) break;
    result += text.slice(from, at) + lookUp(text.slice(at + 2, end), text.slice(at, end + 1));
    from = end + 1;
  }
  return result + text.slice(from);
}
