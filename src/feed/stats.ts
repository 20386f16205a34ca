import { z } from 'zod';
import { feedKind } from './feed.ts';

/** The figures of `GET /admin/stats`, as they are when the tick leaves. */
export const statsFeed = feedKind({
  type: 'stats',
  description: 'The figures of the server, as GET /admin/stats answers them.',
  options: z.object({}),
  create: (_options, { stats }) => ({ compute: () => JSON.stringify(stats()) }),
});
