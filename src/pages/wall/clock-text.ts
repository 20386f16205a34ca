import { members } from '../../client/messages.ts';

/** How a room's page wants dates and numbers. */
export interface TimeStyle {
  /** BCP 47; absent: that of the browser. */
  readonly locale?: string | undefined;
  /** Absent: as the locale has it. */
  readonly hourCycle?: 'h12' | 'h23' | undefined;
}

/** The parts of a clock's face. */
export interface ClockFace {
  /** "19:00:03". */
  readonly time: string;
  /** "PM", where the hours go to twelve. */
  readonly dayPeriod: string;
  /** "Friday, 20 November 2026". */
  readonly date: string;
}

/** The zone of the data of a `time` feed; `undefined` for other data. */
export function zoneOf(data: unknown): string | undefined {
  const { timezone, local, unixMs } = members(data);
  const isTime = typeof timezone === 'string' && typeof local === 'string' && typeof unixMs === 'number';
  return isTime && isZone(timezone) ? timezone : undefined;
}

/** A zone for a reader: "New York" for `America/New_York`. */
export function zoneWords(timezone: string): string {
  return (timezone.split('/').at(-1) ?? '').replaceAll('_', ' ');
}

/** Writes instants as a clock in one zone, with seconds or without. */
export class ClockText {
  readonly #time: Intl.DateTimeFormat;
  readonly #date: Intl.DateTimeFormat;

  constructor(timeZone: string, { locale, hourCycle }: TimeStyle, hasSeconds = true) {
    const shared = { timeZone, ...(hourCycle && { hourCycle }) };
    // "7:00", but "07:00" on a clock of 24 hours.
    const { hourCycle: cycle } = new Intl.DateTimeFormat(locale, {
      hour: 'numeric',
      ...shared,
    }).resolvedOptions();
    this.#time = new Intl.DateTimeFormat(locale, {
      ...shared,
      hour: cycle === 'h12' || cycle === 'h11' ? 'numeric' : '2-digit',
      minute: '2-digit',
      ...(hasSeconds && { second: '2-digit' }),
    });
    this.#date = new Intl.DateTimeFormat(locale, {
      timeZone,
      weekday: 'long',
      day: 'numeric',
      month: 'long',
      year: 'numeric',
    });
  }

  /** `ms`: since the epoch. */
  face(ms: number): ClockFace {
    const parts = this.#time.formatToParts(ms);
    const dayPeriod = parts.find(({ type }) => type === 'dayPeriod')?.value ?? '';
    const time = parts
      .filter(({ type }) => type !== 'dayPeriod')
      .map(({ value }) => value)
      .join('')
      .trim();
    return { time, dayPeriod, date: this.#date.format(ms) };
  }
}

function isZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    // Older than the server, a browser may not know a zone.
    return false;
  }
}
