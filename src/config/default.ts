/**
 * The configuration where there is no file: the same as the `belfry.json` that is shipped, which a
 * test holds it to.
 */
export const defaultDocument = {
  $schema: './belfry.schema.json',
  rooms: [{ match: 'lobby', publish: 'members', history: 100 }],
  schedules: [{ name: 'clock', every: '3s', feed: { type: 'time' } }],
} as const;
