import type { CloseReason, Received } from '../client/messages.ts';
import { statusWords } from '../client/status-text.ts';

/**
 * What could drive a terminal or turn its text round: controls of both ranges, and the characters
 * that set the direction of writing or end a line.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Writes such characters as JSON would, `\u001b`. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** JSON on one line. Space between tokens is all that can stand unescaped in JSON and break one. */
export function jsonLine(text: string): string {
  return escapeControls(text.replace(/[\t\n\r]/g, ' '));
}

/** What an event looks like in a terminal. `unbroken` is about its tick's chain. */
export function eventLine(received: Received, receivedAtMs: number, unbroken: boolean): string {
  const { room, event, tick, from, replay, conflated, reply, data } = received;
  const parts = [localTime(receivedAtMs)];
  if (room !== undefined) parts.push(room);
  parts.push(reply === undefined ? String(event) : `reply to ${reply}`);
  if (tick) {
    parts.push(`due ${tick.due}`);
    if (tick.seq !== undefined) parts.push(`seq ${tick.seq}`);
    // What is sent again was not late when it was sent.
    if (!replay) parts.push(`late ${Math.round(receivedAtMs - Date.parse(tick.due))} ms`);
    if (tick.manual) parts.push('by hand');
    if (!unbroken) parts.push(`MISSED what was due ${tick.previous}`);
  }
  if (from) parts.push(`from ${from.user ?? from.device ?? from.connection}`);
  if (replay) parts.push('sent again');
  if (conflated) parts.push(`in place of ${conflated} more`);
  if (event === 'status') parts.push(statusWords(data));
  else if (data !== undefined) parts.push(JSON.stringify(data));
  return escapeControls(parts.join('  '));
}

/** What the server says before it closes, in words. */
export function closingWords({ code, reason, reconnect, retryAfterMs }: CloseReason): string {
  const back = reconnect
    ? `come back${retryAfterMs === undefined ? '' : ` in ${(retryAfterMs / 1000).toFixed(1)} s`}`
    : 'do not come back';
  return `the server is closing: ${reason} (${code}); ${back}`;
}

function localTime(ms: number): string {
  const at = new Date(ms);
  const digits = (value: number, width: number) => String(value).padStart(width, '0');
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => digits(part, 2)).join(':');
  return `${time}.${digits(at.getMilliseconds(), 3)}`;
}
