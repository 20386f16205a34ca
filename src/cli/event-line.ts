import type { Closing, Received } from '../client/messages.ts';
import { statusWords } from '../client/status-text.ts';

/**
 * Characters that a terminal could obey: controls of both ranges, and those that set the direction of text or
 * end a line.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Writes such characters as JSON would, `\u001b`. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** JSON on one line. Line breaks can stand in JSON only between tokens. */
export function jsonLine(text: string): string {
  return escapeControls(text.replace(/[\t\n\r]/g, ' '));
}

/** An event as a line for a terminal. `unbroken`: no tick of its schedule was missed before it. */
export function eventLine(received: Received, receivedAtMs: number, unbroken: boolean): string {
  const { room, event, tick, from, replay, conflated, reply, data } = received;
  const parts = [localTime(receivedAtMs)];
  if (room !== undefined) parts.push(room);
  parts.push(reply === undefined ? String(event) : `reply to ${reply}`);
  if (tick) {
    parts.push(`due ${tick.due}`);
    if (tick.seq !== undefined) parts.push(`seq ${tick.seq}`);
    // A replayed tick was not late when it was first sent.
    if (!replay) parts.push(`late ${Math.round(receivedAtMs - Date.parse(tick.due))} ms`);
    if (tick.manual) parts.push('by hand');
    if (!unbroken) parts.push(`MISSED what was due ${tick.previous}`);
  }
  if (from) parts.push(`from ${from.user ?? from.device ?? from.connection ?? 'a client'}`);
  if (replay) parts.push('sent again');
  if (conflated) parts.push(`in place of ${conflated} more`);
  if (event === 'status') parts.push(statusWords(data));
  else if (data !== undefined) parts.push(JSON.stringify(data));
  return escapeControls(parts.join('  '));
}

/** The data of a `closing` event in words. */
export function closingWords({ code, reason, reconnect, retryAfterMs, ends }: Closing): string {
  const back = reconnect
    ? `come back${retryAfterMs === undefined ? '' : ` in ${(retryAfterMs / 1000).toFixed(1)} s`}`
    : 'do not come back';
  const what = ends === 'room' ? 'the room is closing' : 'the server is closing';
  return `${what}: ${reason} (${code}); ${back}`;
}

function localTime(ms: number): string {
  const at = new Date(ms);
  const digits = (value: number, width: number) => String(value).padStart(width, '0');
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => digits(part, 2)).join(':');
  return `${time}.${digits(at.getMilliseconds(), 3)}`;
}
