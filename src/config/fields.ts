import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { DURATION, durationMs } from '../duration.ts';
import { isTimezone } from '../feed/timezone.ts';
import {
  EVENT_ACCEPTS,
  isDisplayEvent,
  isEventName,
  isRoomName,
  isRoomPattern,
  isServerEvent,
  PATTERN_ACCEPTS,
  ROOM_ACCEPTS,
} from '../hub/event.ts';
import { shownHost, suggest } from './errors.ts';
import { isObject, shown } from './json.ts';

// Values of the config file. Each field checks one value and says what it would accept.

/** Unlike an issue added as a string, this one lets the checks between keys run as well. */
function addFault(context: z.RefinementCtx, message: string): void {
  context.addIssue({ code: 'custom', message });
}

/** A string that is refused with the message that `faultOf` returns for it, if any. */
function checkedString(faultOf: (text: string) => string | undefined, error?: string) {
  return z.string(error).superRefine((text, context) => {
    const message = faultOf(text);
    if (message !== undefined) addFault(context, message);
  });
}

// The patterns in `meta` are for editors only; hub/event.ts decides.
export const roomPattern = checkedString((text) =>
  isRoomPattern(text) ? undefined : `${shown(text)} is not a room pattern: write ${PATTERN_ACCEPTS}`,
).meta({ pattern: '^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,127}$' });

export const scheduleName = checkedString((text) =>
  isRoomName(text) ? undefined : `${shown(text)} is not a schedule name: write ${ROOM_ACCEPTS}`,
).meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$' });

export const eventName = checkedString((text) => {
  if (!isEventName(text)) return `${shown(text)} is not an event name: write ${EVENT_ACCEPTS}`;
  if (isServerEvent(text)) return `${shown(text)} is an event that only the server sends: write another name`;
  if (isDisplayEvent(text)) return `${shown(text)} is for administrators: write a name without "display."`;
  return undefined;
}).meta({ pattern: '^[A-Za-z][A-Za-z0-9._-]{0,63}$' });

/** Wrong zones of one file that get a suggestion: each is compared with 400 names. */
const MAX_ZONE_SUGGESTIONS = 20;
/** Twice the longest zone name there is. */
const MAX_ZONE_CHARACTERS = 64;

/** An IANA time zone. A field for each schema, because it counts the suggestions it has made. */
export function timezone() {
  let suggestions = 0;
  return z.string().refine((name) => name.length <= MAX_ZONE_CHARACTERS && isTimezone(name), {
    error: ({ input }) => {
      const isSuggesting = ++suggestions <= MAX_ZONE_SUGGESTIONS;
      const near = isSuggesting ? suggest(String(input), Intl.supportedValuesOf('timeZone')) : undefined;
      const hint =
        near === undefined ? 'write an IANA name such as "Europe/Berlin"' : `did you mean "${near}"?`;
      return `${shown(input)} is not a time zone: ${hint}`;
    },
  });
}

/** A duration as the file writes it and in whole milliseconds. */
export interface Duration {
  readonly text: string;
  readonly ms: number;
}

/** A duration in whole milliseconds from `min` to `max`, which are durations themselves. */
export function duration(min: string, max: string) {
  const minMs = durationMs(min) ?? 0;
  const maxMs = durationMs(max) ?? Number.POSITIVE_INFINITY;
  const faultOf = (ms: number) => {
    if (ms < minMs) return 'is too short';
    if (ms > maxMs) return 'is too long';
    return Number.isInteger(ms) ? undefined : 'is not whole';
  };
  const notADuration = (input: unknown) => {
    if (input === undefined) return 'is missing: write a duration such as "3s"';
    // A number without a unit was probably meant in seconds.
    const bare = typeof input === 'number' ? String(input) : shown(input).slice(1, -1).trim();
    const ms = durationMs(`${bare}s`);
    const isAccepted = ms !== undefined && faultOf(ms) === undefined;
    const hint = isAccepted ? `write "${bare}s"` : 'write a number and one of ms s m h d, such as "3s"';
    return `${shown(input)} is not a duration: ${hint}`;
  };
  return z
    .string({ error: ({ input }) => notADuration(input) })
    .meta({ pattern: DURATION.source })
    .transform((text, context): Duration => {
      const ms = durationMs(text);
      if (ms === undefined) {
        // A string ends the checks of the schedule, which need the number.
        context.addIssue(notADuration(text));
        return z.NEVER;
      }
      const fault = faultOf(ms);
      const accepted = `write a duration from "${min}" to "${max}", in whole milliseconds`;
      if (fault) addFault(context, `${shown(text)} ${fault}: ${accepted}`);
      return { text, ms };
    });
}

/** A host name, or an IPv4 address. */
const HOST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Why a server cannot listen there: it is neither an address nor a host name. */
export function hostFault(text: string): string | undefined {
  if (isIPv6(text) || HOST_NAME.test(text)) return undefined;
  return `${shownHost(text)} is not a host: write an address or a name, such as "127.0.0.1"`;
}

export const host = z
  .string()
  .transform((text) => text.replace(/^\[(.*)\]$/, '$1'))
  .pipe(checkedString(hostFault));

const addressOrNetwork = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

/** An entry of `trustProxy`: an address, or a network as a CIDR. */
export const trustedProxy = checkedString((text) =>
  addressOrNetwork.safeParse(text).success
    ? undefined
    : `${shownHost(text)} is not an address or a network: write one such as "127.0.0.1", "10.0.0.0/8" or "fd00::/8"`,
);

/** The server's own address. One slash at the end is accepted, because browsers copy it along. */
export const publicUrl = z.string().transform((text, context) => {
  const url = httpUrl(text);
  if (url && isOrigin(url)) return url.origin;
  const accepted =
    url === undefined
      ? 'one such as "https://wall.example.com"'
      : `"${url.origin}", without path, query or user`;
  addFault(context, `${shownHost(text)} is not a public URL: write ${accepted}`);
  return z.NEVER;
});

/** An entry of `allowedOrigins`, as browsers write it: the host in small letters, no default port. */
export const allowedOrigin = z.string().transform((text, context) => {
  const { origin, hint } = originOf(text);
  if (origin !== undefined) return origin;
  addFault(context, `${shownHost(text)} is not an origin: ${hint}`);
  return z.NEVER;
});

/** Any origin, and the origins of pages opened from disk. */
const NAMED_ORIGINS: ReadonlySet<string> = new Set(['*', 'null', 'file://']);
/** Of apps that do not use http: `capacitor://localhost`. */
const APP_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(:\d{1,5})?$/;

function originOf(text: string): { origin?: string; hint?: string } {
  if (NAMED_ORIGINS.has(text)) return { origin: text };
  if (/^file:/i.test(text)) return { hint: 'write "file://"' };
  if (text.includes('*')) return { hint: 'write each origin in full, or "*" alone for all' };
  // A page that opens a WebSocket sends its own origin, which is http.
  const url = httpUrl(text.replace(/^ws(s?):/i, 'http$1:'));
  if (url) {
    const isExact = isOrigin(url) && !text.endsWith('/') && !/^ws/i.test(text);
    return isExact ? { origin: url.origin } : { hint: `write "${url.origin}"` };
  }
  if (APP_ORIGIN.test(text.toLowerCase()) && !/^https?:/i.test(text)) return { origin: text.toLowerCase() };
  const completed = text.includes('://') ? undefined : httpUrl(`https://${text}`);
  return { hint: `write "${completed?.origin ?? 'https://wall.example.com'}"` };
}

function httpUrl(text: string): URL | undefined {
  // `URL` also takes `https:host` and removes blanks.
  if (!/^https?:\/\/[^/\\\s][^\\\s]*$/i.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text);
}

function isOrigin(url: URL): boolean {
  return url.href === `${url.origin}/`;
}

/** A token of the admin API. The token itself is not kept. */
export interface AdminToken {
  readonly name: string;
  readonly role: 'viewer' | 'operator';
  /** SHA-256 of the token's UTF-8 bytes, 64 hexadecimal digits. */
  readonly sha256: string;
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Why a string cannot be a token: it must fit in a header. The message never repeats it. */
export function tokenFault(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (/[\s\p{Cc}]/u.test(text))
    return 'holds a blank or a control character, which cannot be sent: leave it out';
  return undefined;
}

const TOKEN_KEYS = ['token', 'tokenEnv', 'sha256'] as const;

/** An entry of `admin.tokens`; the variable that `tokenEnv` names is taken from `env`. */
export function adminToken(env: NodeJS.ProcessEnv) {
  return z
    .strictObject({
      name: z
        .string()
        .min(1, { error: 'is empty: write whose token it is' })
        .describe('Name of the token, for the log.'),
      role: z
        .enum(['viewer', 'operator'])
        .default('viewer')
        .describe('What the token allows: a viewer reads, an operator also acts.'),
      // Without the value, which the usual message about a wrong type repeats.
      token: checkedString(tokenFault, 'is not a string')
        .optional()
        .describe('The token itself. Better not kept in this file: see tokenEnv and sha256.'),
      tokenEnv: z
        .string({ error: 'is not a string' })
        .transform((name, context) => {
          const value = (Object.hasOwn(env, name) && env[name]) || '';
          const fault = value === '' ? 'is not set' : tokenFault(value);
          if (fault !== undefined)
            context.addIssue(`the environment variable ${shownVariable(name, env)} ${fault}`);
          return value;
        })
        .optional()
        .describe('Environment variable that holds the token.'),
      sha256: z
        .string({ error: 'is not a string' })
        .regex(/^[0-9a-fA-F]{64}$/, { error: 'is not a SHA-256: write its 64 hexadecimal digits' })
        .optional()
        .describe('SHA-256 of the token, in hexadecimal.'),
    })
    .superRefine(
      (entry, context) => {
        const given = TOKEN_KEYS.filter((key) => entry[key] !== undefined);
        if (given.length === 1) return;
        const fault =
          given.length === 0 ? 'has no token' : `has ${given.map((key) => `"${key}"`).join(' and ')}`;
        context.addIssue(`${fault}: write exactly one of "token", "tokenEnv" and "sha256"`);
      },
      { when: ({ value }) => isObject(value) },
    )
    .meta(exactlyOneOf(TOKEN_KEYS))
    .transform(
      ({ name, role, token, tokenEnv, sha256 }): AdminToken => ({
        name,
        role,
        sha256: sha256?.toLowerCase() ?? sha256Of(token ?? tokenEnv ?? ''),
      }),
    );
}

/** A variable's name, with a suggestion if it is not set. Other text may be the token itself and is not repeated. */
function shownVariable(name: string, env: NodeJS.ProcessEnv): string {
  if (Object.hasOwn(env, name)) return name;
  if (!/^[A-Z_][A-Z0-9_]{0,63}$/.test(name)) return 'that is named here (write its name, not the token)';
  const near = suggest(name, Object.keys(env));
  return near === undefined ? name : `${name} (did you mean "${near}"?)`;
}

/**
 * For `.meta()`: tells editors that exactly one of several keys must be there, all of them strings.
 * JSON Schema cannot see the refinement that tells the parser. Each branch states its type, for
 * validators that look at it alone.
 */
export function exactlyOneOf(keys: readonly string[]) {
  const branch = (key: string) => ({
    type: 'object',
    properties: { [key]: { type: 'string' } },
    required: [key],
  });
  return { oneOf: keys.map(branch) };
}
