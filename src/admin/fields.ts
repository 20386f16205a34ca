import { z } from '@hono/zod-openapi';
import { durationMs } from '../duration.ts';
import { shown } from '../hub/errors.ts';
import {
  DEVICE_ACCEPTS,
  EVENT_ACCEPTS,
  isDeviceName,
  isEventName,
  isRoomName,
  isRoomPattern,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/event.ts';

/** What requests are made of: each field checks one value and says what it would accept. */

/** A text that passes `test`; otherwise the message names it and what would do. */
export function text(test: (value: string) => boolean, what: string, accepts: string) {
  return z
    .string({ error: `expected a text: ${accepts}` })
    .refine(test, { error: ({ input }) => `${shown(input)} is not ${what}: ${accepts}` })
    .openapi({ description: accepts });
}

export const roomName = text(isRoomName, 'a room name', ROOM_ACCEPTS);
export const roomPattern = text(isRoomPattern, 'a room pattern', PATTERN_ACCEPTS);
export const eventName = text(isEventName, 'an event name', EVENT_ACCEPTS);
export const deviceName = text(isDeviceName, 'a device', DEVICE_ACCEPTS);

/** A connection's id, a user or a schedule's name: whether it is one is known by who has it. */
export const SOME_NAME_ACCEPTS = 'at least one character';
export const someName = text((value) => value !== '', 'a name', SOME_NAME_ACCEPTS);

/** What people are told when a room or a connection is closed. */
export const reason = text(
  (value) => /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(value),
  'a reason',
  '1 to 200 printable characters',
).optional();

/** A query is a string; what it says is a boolean. */
export const flag = z
  .enum(['true', 'false'], { error: ({ input }) => `${shown(input)} is neither true nor false` })
  .transform((value) => value === 'true')
  .openapi({ type: 'boolean' });

/** Longer than a year is a mistake, and far below what an instant can hold. */
const LONGEST_LOCK_MS = 366 * 86_400_000;

/** How long a room stays shut, milliseconds. */
export const lock = text(
  (value) => (durationMs(value) ?? Number.POSITIVE_INFINITY) <= LONGEST_LOCK_MS,
  'a duration',
  'a number and one of ms s m h d, such as 30s, at most 366d',
)
  .transform((value) => durationMs(value) ?? 0)
  .openapi({ type: 'string' });

/** The query of a call that takes none. */
export const noQuery = z.strictObject({});
