import { isObject } from './document.ts';

/** What stands where something secret stood. */
const REMOVED = '***';

/**
 * The configuration as anybody with a viewer's token may see it: the document in its own words, not
 * filled from the environment, completed with the defaults of `schema` (the JSON Schema of the file).
 * Without tokens and their hashes, the values of headers, the arguments of commands, and what addresses
 * carry besides host and path. The document has been checked; it is not changed.
 */
export function shownConfig(document: unknown, schema: object): Record<string, unknown> {
  const shown = withoutSecrets(completed(document, schema), []);
  if (!isObject(shown)) return {};
  const { $schema, ...config } = shown;
  return config;
}

/** Fills in what the schema has a default for, all the way down. */
function completed(value: unknown, schema: unknown): unknown {
  if (!isObject(schema)) return value;
  const given = value === undefined ? byDefault(schema) : value;
  if (Array.isArray(given)) return given.map((item) => completed(item, schema.items));
  if (!isObject(given)) return given;
  const properties = propertiesFor(given, schema);
  const filled = Object.entries({ ...properties, ...given }).map(([key]) => [
    key,
    completed(Object.hasOwn(given, key) ? given[key] : undefined, properties[key]),
  ]);
  return Object.fromEntries(filled.filter(([, item]) => item !== undefined));
}

/** The JSON Schema has no default for lists whose items are transformed; it is the empty one. */
function byDefault(schema: Record<string, unknown>): unknown {
  return schema.default ?? (schema.type === 'array' ? [] : undefined);
}

/** Of several forms that which has the `type` that the object names. */
function propertiesFor(value: Record<string, unknown>, schema: Record<string, unknown>) {
  const forms = Array.isArray(schema.oneOf) ? schema.oneOf : [];
  const named = forms.find(
    (form) => value.type !== undefined && form?.properties?.type?.const === value.type,
  );
  const properties = named?.properties ?? schema.properties;
  return isObject(properties) ? properties : {};
}

function withoutSecrets(value: unknown, path: readonly string[]): unknown {
  if (typeof value === 'string') return withoutCredentials(value);
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, path));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      isSecret(path, key) ? removed(item) : withoutSecrets(item, [...path, key]),
    ]),
  );
}

/** Lists are no step of a path here: `admin.tokens.sha256`. */
function isSecret(path: readonly string[], key: string): boolean {
  const place = path.join('.');
  if (place === 'schedules.feed') return key === 'argv';
  return place === 'schedules.feed.headers' || (place === 'admin.tokens' && /^(token|sha256)$/.test(key));
}

/** Of a list, which is a command, the program stays: what follows may be a password as well as a path. */
function removed(secret: unknown): unknown {
  if (!Array.isArray(secret)) return REMOVED;
  const [program, ...others] = secret;
  return [withoutSecrets(program, []), ...others.map(() => REMOVED)];
}

/** User, password and query of every address in a text, also where it holds more than an address. */
function withoutCredentials(text: string): string {
  return text
    .replace(/([a-z][a-z\d+.-]*:\/\/)[^\s/?#]*@/gi, `$1${REMOVED}@`)
    .replace(/([a-z][a-z\d+.-]*:\/\/[^\s?#]*\?)[^\s#]+/gi, `$1${REMOVED}`);
}
