/**
 * For `.meta()`: what editors are told where just one of several keys, all of them strings, must be
 * there. A refinement says it to the parser; JSON Schema cannot see into one. Each branch states its
 * type, for validators that look at it alone.
 */
export function exactlyOneOf(keys: readonly string[]) {
  const branch = (key: string) => ({
    type: 'object',
    properties: { [key]: { type: 'string' } },
    required: [key],
  });
  return { oneOf: keys.map(branch) };
}
