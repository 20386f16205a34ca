import { z } from 'zod';
import { instant } from '../clock.ts';
import { feedKind } from './feed.ts';
import { isTimezone, localInstant } from './timezone.ts';

/** The time of day, stamped when it is sent: `{"iso","unixMs","timezone","local"}`. */
export const timeFeed = feedKind({
  type: 'time',
  description: 'The time of day, stamped when it is sent.',
  options: z.object({
    timezone: z
      .string()
      .refine(isTimezone, {
        error: ({ input }) =>
          `${JSON.stringify(input)} is not a time zone: write a name like "Europe/Berlin"`,
      })
      .default('UTC')
      .describe('The IANA time zone of `local`, such as "Europe/Berlin".'),
  }),
  create({ timezone }) {
    const local = localInstant(timezone);
    return {
      compute: (_tick, sentAtMs) =>
        JSON.stringify({ iso: instant(sentAtMs), unixMs: sentAtMs, timezone, local: local(sentAtMs) }),
    };
  },
});
