import { members } from '../../client/messages.ts';

/** The time of day here, with the date where it is not today's. */
export function localTime(at: Date): string {
  const time = at.toLocaleTimeString([], { hourCycle: 'h23' });
  const today = at.toDateString() === new Date().toDateString();
  return today ? time : `${at.toLocaleDateString()} ${time}`;
}

/** A value for a reader: a string as it is, `{"text": …}` as its text, else JSON. */
export function readable(value: unknown): string {
  if (typeof value === 'string') return value;
  const { text, ...rest } = members(value);
  if (typeof text === 'string' && Object.keys(rest).length === 0) return text;
  return JSON.stringify(value) ?? '';
}

/** Cuts what is too long for a line. */
export function line(text: string, maxCharacters = 400): string {
  return text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text;
}

/** Milliseconds, above ten seconds in seconds. */
export function lateness(ms: number): string {
  return Math.abs(ms) < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
