import { isObject } from './document.ts';
import { withoutSecrets } from './secrets.ts';

/**
 * The configuration as anybody with a viewer's token may see it: the document in its own words, not
 * filled from the environment, completed with the defaults of `schema` (the JSON Schema of the file),
 * and without its secrets. The document has been checked; it is not changed.
 */
export function shownConfig(document: unknown, schema: object): Record<string, unknown> {
  const shown = withoutSecrets(completed(document, schema));
  if (!isObject(shown)) return {};
  const { $schema, ...config } = shown;
  return config;
}

/** Fills in what the schema has a default for, all the way down. */
function completed(value: unknown, schema: unknown): unknown {
  if (!isObject(schema)) return value;
  const given = value === undefined ? byDefault(schema) : value;
  if (Array.isArray(given)) {
    return isObject(schema.items) ? given.map((item) => completed(item, schema.items)) : given;
  }
  if (!isObject(given)) return given;
  const properties = propertiesFor(given, schema);
  if (properties === undefined) return given;
  const filled = Object.keys({ ...properties, ...given }).map((key) => [
    key,
    completed(Object.hasOwn(given, key) ? given[key] : undefined, properties[key]),
  ]);
  return Object.fromEntries(filled.filter(([, item]) => item !== undefined));
}

/** The JSON Schema has no default for lists whose items are transformed; it is the empty one. */
function byDefault(schema: Record<string, unknown>): unknown {
  return schema.default ?? (schema.type === 'array' ? [] : undefined);
}

/** Of several forms that which has the `type` that the object names; undefined: nothing is known of them. */
function propertiesFor(value: Record<string, unknown>, schema: Record<string, unknown>) {
  const forms = Array.isArray(schema.oneOf) ? schema.oneOf : [];
  const named = forms.find(
    (form) => value.type !== undefined && form?.properties?.type?.const === value.type,
  );
  const properties = named?.properties ?? schema.properties;
  return isObject(properties) ? properties : undefined;
}
