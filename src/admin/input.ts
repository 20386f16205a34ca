import { type Hook, z } from '@hono/zod-openapi';
import { callDurationMs, DURATION_ACCEPTS, SOME_TIME_ACCEPTS, someCallDurationMs } from '../duration.ts';
import { type InputError, Refusal, shown } from '../hub/errors.ts';
import {
  DEVICE_ACCEPTS,
  EVENT_ACCEPTS,
  isDeviceName,
  isEventName,
  isKey,
  isRoomName,
  isRoomPattern,
  isServerEvent,
  KEY_ACCEPTS,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/event.ts';
import type { AdminEnv } from './guard.ts';

/** What a request of the admin API may hold, and what is answered where something does not fit. */

// Fields: each checks one value and says what it would accept.

/** A string that passes `test`; otherwise the message names it and what would be accepted. */
export function stringField(test: (value: string) => boolean, what: string, accepts: string) {
  return z
    .string({ error: `expected a string: ${accepts}` })
    .refine(test, { error: ({ input }) => `${shown(input)} is not ${what}: ${accepts}` })
    .describe(accepts);
}

/** A string that is read as something else: `parse` answers undefined for what it is not. */
export function parsedField<Value>(
  parse: (text: string) => Value | undefined,
  what: string,
  accepts: string,
) {
  return z
    .string({ error: `expected a string: ${accepts}` })
    .transform((input, { issues }): Value => {
      const value = parse(input);
      if (value !== undefined) return value;
      issues.push({ code: 'custom', input, message: `${shown(input)} is not ${what}: ${accepts}` });
      return z.NEVER;
    })
    .openapi({ type: 'string', description: accepts });
}

export const roomName = stringField(isRoomName, 'a room name', ROOM_ACCEPTS);
export const roomPattern = stringField(isRoomPattern, 'a room pattern', PATTERN_ACCEPTS);
export const eventName = stringField(isEventName, 'an event name', EVENT_ACCEPTS);
/** An event that a sender may name. */
export const sentEvent = eventName.refine((event) => !isServerEvent(event), {
  error: ({ input }) => `${shown(input)} is an event that only the server sends`,
});
export const keyName = stringField(isKey, 'a key', KEY_ACCEPTS);
export const deviceName = stringField(isDeviceName, 'a device', DEVICE_ACCEPTS);

/** A connection's id, a user or a schedule's name. Whether it exists is checked where it is looked up. */
export const SOME_NAME_ACCEPTS = 'at least one character';
export const someName = stringField((value) => value !== '', 'a name', SOME_NAME_ACCEPTS);

/** The reason that clients get when a room or a connection is closed. */
export const reason = stringField(
  (value) => /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(value),
  'a reason',
  '1 to 200 printable characters',
).optional();

/** A boolean in a query. */
export const flag = z
  .enum(['true', 'false'], { error: ({ input }) => `${shown(input)} is neither true nor false` })
  .transform((value) => value === 'true')
  .openapi({ type: 'boolean' });

/** A whole number in a query. */
export function wholeNumber(what: string, { max, byDefault }: { max: number; byDefault: number }) {
  const parse = (text: string) => {
    const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    return value >= 1 && value <= max ? value : undefined;
  };
  return parsedField(parse, what, `a whole number from 1 to ${max}`)
    .default(byDefault)
    .openapi({ type: 'integer', minimum: 1, maximum: max, default: byDefault });
}

/** A time such as that of a lock, in milliseconds. */
export const duration = parsedField(callDurationMs, 'a duration', DURATION_ACCEPTS);

/** The same, more than nothing. */
export const someTime = parsedField(someCallDurationMs, 'a duration', SOME_TIME_ACCEPTS);

/** The same, a second or more: a timer may be late by less. */
export const secondOrMore = parsedField(
  (text) => {
    const ms = callDurationMs(text);
    return ms !== undefined && ms >= 1000 ? ms : undefined;
  },
  'a duration',
  `${DURATION_ACCEPTS}, and at least 1s`,
);

const INSTANT = z.iso.datetime({ offset: true });

/** An instant, in milliseconds since the epoch. */
export const instantMs = parsedField(
  (text) => (INSTANT.safeParse(text).success ? Date.parse(text) : undefined),
  'an instant',
  'such as 2026-11-20T18:00:00Z',
);

/** The query of a call that takes none. */
export const noQuery = z.strictObject({});

// Input that does not fit

/** Errors that an answer lists: a hostile body can have a hundred thousand. */
export const MAX_ERRORS = 20;

/** Characters of an unknown key that its path repeats. */
const MAX_KEY_CHARACTERS = 80;

/** What a part of a request is called in a message. */
const PART: Readonly<Record<string, string>> = { query: 'query parameter', json: 'field' };

/** The hook of every route: input that does not fit is a 400 that names each fault. */
export const refuseInput: Hook<unknown, AdminEnv, string, undefined> = (result) => {
  // The hook's type leaves out what was checked; it is there, failed or not.
  if (!result.success) throw invalid(result.target, result.error, (result as { data?: unknown }).data);
  return undefined;
};

/** A body that fits `schema`. Throws the same 400 as `refuseInput`. */
export function checkBody<Schema extends z.ZodType>(body: unknown, schema: Schema): z.output<Schema> {
  const { success, data, error } = schema.safeParse(body);
  if (!success) throw invalid('json', error, body);
  return data;
}

function invalid(target: string, error: z.core.$ZodError, input: unknown): Refusal {
  const issues = error.issues.slice(0, MAX_ERRORS);
  const errors = issues.flatMap((issue) => inputErrors(issue, target, input)).slice(0, MAX_ERRORS);
  return new Refusal(400, detailOf(errors), { errors });
}

/** Several wrong inputs in one line. */
export function detailOf(errors: readonly InputError[]): string {
  return errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}

function inputErrors(issue: z.core.$ZodIssue, target: string, input: unknown): InputError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.slice(0, MAX_ERRORS).map((key) => ({
      path: pathOf([...issue.path, key.slice(0, MAX_KEY_CHARACTERS)]),
      message: `unknown ${PART[target] ?? 'value'} ${shown(key)}`,
    }));
  const path = pathOf(issue.path);
  const isRepeated = target === 'query' && Array.isArray(Object(input)[path]);
  return [{ path, message: isRepeated ? 'given more than once' : issue.message }];
}

/** A place as the faults of the config file write it: `rooms[1]`. */
function pathOf(steps: readonly PropertyKey[]): string {
  return steps.reduce<string>((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`;
    return path === '' ? String(step) : `${path}.${String(step)}`;
  }, '');
}
