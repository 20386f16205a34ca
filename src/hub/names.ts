/** What rooms, patterns, events and devices may be called. */

const ROOM = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const PATTERN = /^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,127}$/;
const EVENT = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;
/** Printable: no control, format, surrogate, unassigned or line-separating characters. */
const DEVICE = /^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u;

export const ROOM_ACCEPTS = '1 to 128 of A-Z a-z 0-9 . _ : -, starting with a letter or digit';
export const PATTERN_ACCEPTS = 'a room name in which * stands for any run of characters';
export const EVENT_ACCEPTS = 'a letter and up to 63 of A-Z a-z 0-9 . _ -';
export const DEVICE_ACCEPTS = '1 to 128 printable characters';

/** Events that only the server sends. */
const SERVER_EVENTS: ReadonlySet<string> = new Set(['hello', 'closing', 'status', 'heartbeat']);

export const isRoomName = (text: string): boolean => ROOM.test(text);
export const isRoomPattern = (text: string): boolean => PATTERN.test(text);
export const isEventName = (text: string): boolean => EVENT.test(text);
export const isDeviceName = (text: string): boolean => DEVICE.test(text);
export const isServerEvent = (text: string): boolean => SERVER_EVENTS.has(text);

/** `display.*` drives wall displays: administrators send it, clients and schedules may not. */
export const isDisplayEvent = (text: string): boolean => text.startsWith('display.');

/** Whether a valid pattern is in fact the name of one room. */
export const isExact = (pattern: string): boolean => !pattern.includes('*');

/** Tells whether a room belongs to what a pattern or a list of patterns describes. */
export type RoomMatcher = (room: string) => boolean;

/**
 * Compiles a room pattern. Linear in the length of the name, whatever the pattern: a regular
 * expression made of a dozen `.*` would not be.
 */
export function roomMatcher(pattern: string): RoomMatcher {
  const [head = '', ...middle] = pattern.split('*');
  const tail = middle.pop();
  if (tail === undefined) return (room) => room === pattern;
  return (room) => {
    const end = room.length - tail.length;
    if (end < head.length || !room.startsWith(head) || !room.endsWith(tail)) return false;
    let from = head.length;
    for (const part of middle) {
      const found = room.indexOf(part, from);
      if (found === -1 || found + part.length > end) return false;
      from = found + part.length;
    }
    return true;
  };
}

/** Compiles several patterns into one matcher: a room belongs if any of them takes it. */
export function roomsMatcher(patterns: readonly string[]): RoomMatcher {
  const matchers = patterns.map(roomMatcher);
  return (room) => matchers.some((matches) => matches(room));
}
