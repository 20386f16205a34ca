/**
 * By the zone's name in lower case. A format takes some 25 KiB outside the JavaScript heap, so there is
 * one for each zone; Intl knows about 600 zones.
 */
const formats = new Map<string, Intl.DateTimeFormat>();

/** Throws for a zone that Intl does not know. */
function formatIn(timezone: string): Intl.DateTimeFormat {
  const key = timezone.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  const format =
    formats.get(key) ?? new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' });
  formats.set(key, format);
  return format;
}

/** Whether Intl knows the time zone: an IANA name in any case. */
export function isTimezone(name: string): boolean {
  try {
    formatIn(name);
    return true;
  } catch {
    return false;
  }
}

/** Since 1972 every change of offset was at a full quarter of an hour UTC. */
const QUARTER_MS = 15 * 60_000;

/**
 * Writes instants as a wall clock in `timezone` shows them: RFC 3339 with milliseconds and the zone's
 * offset at that instant. Asks Intl once per quarter of an hour, because that costs a hundred times what
 * the rest does. Throws for a zone that Intl does not know.
 */
export function localInstant(timezone: string): (unixMs: number) => string {
  const format = formatIn(timezone);
  let known = Number.NaN;
  let offset = { text: '', ms: 0 };
  return (unixMs) => {
    const quarter = Math.floor(unixMs / QUARTER_MS);
    if (quarter !== known) {
      offset = offsetAt(format, unixMs);
      known = quarter;
    }
    return new Date(unixMs + offset.ms).toISOString().slice(0, -1) + offset.text;
  };
}

/** The zone's offset from UTC at an instant, milliseconds. Asks Intl each time: some 5 µs. Throws for a zone that Intl does not know. */
export function zoneOffset(timezone: string): (unixMs: number) => number {
  const format = formatIn(timezone);
  return (unixMs) => offsetAt(format, unixMs).ms;
}

/** The first whole second after `from` that has another offset; `to` has one, and only one change lies between. */
export function offsetChange(offset: (unixMs: number) => number, from: number, to: number): number {
  const before = offset(from);
  let [low, high] = [Math.floor(from / 1000), Math.ceil(to / 1000)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offset(middle * 1000) === before) low = middle;
    else high = middle;
  }
  return high * 1000;
}

/** Intl writes `GMT-03:30`, and for UTC plain `GMT`. */
function offsetAt(format: Intl.DateTimeFormat, unixMs: number): { text: string; ms: number } {
  const name = format.formatToParts(unixMs).find((part) => part.type === 'timeZoneName')?.value ?? '';
  const [, sign = '+', hours = '00', minutes = '00'] = /([+-])(\d\d):(\d\d)/.exec(name) ?? [];
  const ms = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return { text: `${sign}${hours}:${minutes}`, ms: sign === '-' ? -ms : ms };
}
