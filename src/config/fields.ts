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
import { NO_TIMEZONE, quotedHost } from './errors.ts';
import { quoted } from './json.ts';

// Values of the config file. Each field checks one value and says what it would accept.

/** Unlike an issue added as a string, this one lets the checks between keys run as well. */
function addFault(context: z.RefinementCtx, message: string): void {
  context.addIssue({ code: 'custom', message });
}

/** A string that is refused with the message that `faultOf` returns for it, if any. */
export function checkedString(faultOf: (text: string) => string | undefined, error?: string) {
  return z.string(error).superRefine((text, context) => {
    const message = faultOf(text);
    if (message !== undefined) addFault(context, message);
  });
}

// The patterns in `meta` are for editors only; hub/event.ts decides.
export const roomPattern = checkedString((text) =>
  isRoomPattern(text) ? undefined : `${quoted(text)} is not a room pattern: write ${PATTERN_ACCEPTS}`,
).meta({ pattern: '^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,127}$' });

export const scheduleName = checkedString((text) =>
  isRoomName(text) ? undefined : `${quoted(text)} is not a schedule name: write ${ROOM_ACCEPTS}`,
).meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$' });

export const eventName = checkedString((text) => {
  if (!isEventName(text)) return `${quoted(text)} is not an event name: write ${EVENT_ACCEPTS}`;
  if (isServerEvent(text))
    return `${quoted(text)} is an event that only the server sends: write another name`;
  if (isDisplayEvent(text)) return `${quoted(text)} is for administrators: write a name without "display."`;
  return undefined;
}).meta({ pattern: '^[A-Za-z][A-Za-z0-9._-]{0,63}$' });

/** Twice the longest zone name there is. */
const MAX_ZONE_CHARACTERS = 64;

/** An IANA time zone. What is wrong with another string is said by `errorMessages`, which counts suggestions. */
export const timezone = z
  .string()
  .refine((name) => name.length <= MAX_ZONE_CHARACTERS && isTimezone(name), { params: NO_TIMEZONE });

/** A BCP 47 language tag. */
export const locale = checkedString((text) => {
  try {
    Intl.getCanonicalLocales(text);
    return undefined;
  } catch {
    return `${quoted(text)} is not a language tag: write one such as "en-GB" or "de"`;
  }
});

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
    const bare = typeof input === 'number' ? String(input) : quoted(input).slice(1, -1).trim();
    const ms = durationMs(`${bare}s`);
    const isAccepted = ms !== undefined && faultOf(ms) === undefined;
    const hint = isAccepted ? `write "${bare}s"` : 'write a number and one of ms s m h d, such as "3s"';
    return `${quoted(input)} is not a duration: ${hint}`;
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
      if (fault) addFault(context, `${quoted(text)} ${fault}: ${accepted}`);
      return { text, ms };
    });
}

/** A host name, or an IPv4 address. */
const HOST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Why a server cannot listen there: it is neither an address nor a host name. */
export function hostFault(text: string): string | undefined {
  if (isIPv6(text) || HOST_NAME.test(text)) return undefined;
  return `${quotedHost(text)} is not a host: write an address or a name, such as "127.0.0.1"`;
}

/** An IPv6 address may stand in brackets, as in a URL. */
export function plainHost(text: string): string {
  return text.replace(/^\[(.*)\]$/, '$1');
}

export const DEFAULT_HOST = '127.0.0.1';
export const host = z.string().transform(plainHost).pipe(checkedString(hostFault)).prefault(DEFAULT_HOST);

const addressOrNetwork = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

/** An entry of `trustProxy`: an address, or a network as a CIDR. */
export const trustedProxy = checkedString((text) =>
  addressOrNetwork.safeParse(text).success
    ? undefined
    : `${quotedHost(text)} is not an address or a network: write one such as "127.0.0.1", "10.0.0.0/8" or "fd00::/8"`,
);

/** The server's own address. One slash at the end is accepted, because browsers copy it along. */
export const publicUrl = z.string().transform((text, context) => {
  const url = httpUrl(text);
  if (url && isOrigin(url)) return url.origin;
  const accepted =
    url === undefined
      ? 'one such as "https://wall.example.com"'
      : `"${url.origin}", without path, query or user`;
  addFault(context, `${quotedHost(text)} is not a public URL: write ${accepted}`);
  return z.NEVER;
});

/** An entry of `allowedOrigins`, as browsers write it: the host in small letters, no default port. */
export const allowedOrigin = z.string().transform((text, context) => {
  const { origin, hint } = originOf(text);
  if (origin !== undefined) return origin;
  addFault(context, `${quotedHost(text)} is not an origin: ${hint}`);
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
