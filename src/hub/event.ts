/** Events, their targets, and the names of rooms, events and devices. */

import { type EventHead, SERVER_EVENTS } from '../protocol/event.ts';
import { Refusal, shown } from './errors.ts';

export type { Sender, Tick } from '../protocol/event.ts';

/** JSON as a string: an event's data is encoded once, when it comes in. */
export type JsonText = string;

/** An event's data: the same for every room, or made for each. */
export type RoomData = JsonText | ((room: string) => JsonText);

/** What a room's members receive. */
export interface RoomEvent extends EventHead {
  readonly data?: JsonText;
}

/**
 * The receivers of a message: the union of all that is named; where nothing is named, every room. What a
 * client gets through its device, connection or user has no room, no id and no history.
 */
export interface Target {
  /** Room patterns. */
  readonly rooms?: readonly string[];
  readonly devices?: readonly string[];
  /** Connection ids. */
  readonly connections?: readonly string[];
  readonly users?: readonly string[];
  /** Connection ids that get nothing, however they are reached. */
  readonly except?: readonly string[];
}

/** The room patterns of a target: every room where no device, connection or user is named. */
export function targetRooms(target: Target): readonly string[] {
  const named = target.devices ?? target.connections ?? target.users;
  return target.rooms ?? (named === undefined ? ['*'] : []);
}

/** Each pattern is matched with the name of each room that exists. */
const MAX_WILDCARDS = 100;

const TARGET_KEYS = ['rooms', 'devices', 'connections', 'users', 'except'] as const;

/** Throws a 400 `Refusal` for what is no target: a program that embeds the server may have no types. */
export function checkTarget(target: Target): void {
  if (typeof target !== 'object' || target === null || Array.isArray(target)) {
    const message = `${shown(target)} is not a target: give an object such as {"rooms":["lobby"]}`;
    throw Refusal.invalid('target', message);
  }
  for (const key of TARGET_KEYS) {
    const named: unknown = target[key];
    if (named === undefined || (Array.isArray(named) && named.every((each) => typeof each === 'string')))
      continue;
    throw Refusal.invalid(key, `${shown(named)} is not a list of strings: give one such as ["a"]`);
  }
  let wildcards = 0;
  for (const pattern of targetRooms(target)) {
    if (!isRoomPattern(pattern)) {
      throw Refusal.invalid('rooms', `${shown(pattern)} is not a room pattern: ${PATTERN_ACCEPTS}`);
    }
    if (!isExact(pattern)) wildcards++;
  }
  if (wildcards > MAX_WILDCARDS) {
    const message = `${wildcards} patterns with * are too many: name at most ${MAX_WILDCARDS} in one call`;
    throw Refusal.invalid('rooms', message);
  }
}

const ROOM = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const PATTERN = /^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,127}$/;
const EVENT = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;
const KEY = /^[A-Za-z0-9._-]{1,64}$/;
/** Printable: no control, format, surrogate, unassigned or line-separating characters. */
const DEVICE = /^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u;

export const ROOM_ACCEPTS = '1 to 128 of A-Z a-z 0-9 . _ : -, starting with a letter or digit';
export const PATTERN_ACCEPTS = 'a room name in which * stands for any run of characters';
export const EVENT_ACCEPTS = 'a letter and up to 63 of A-Z a-z 0-9 . _ -';
export const DEVICE_ACCEPTS = '1 to 128 printable characters';

export const KEY_ACCEPTS = '1 to 64 of A-Z a-z 0-9 . _ -';

export const isRoomName = (text: string): boolean => ROOM.test(text);
export const isRoomPattern = (text: string): boolean => PATTERN.test(text);
export const isEventName = (text: string): boolean => EVENT.test(text);
export const isKey = (text: string): boolean => KEY.test(text);
export const isDeviceName = (text: string): boolean => DEVICE.test(text);
export const isServerEvent = (text: string): boolean => SERVER_EVENTS.has(text);

/** `display.*` drives wall displays: administrators send it, clients and schedules may not. */
export const isDisplayEvent = (text: string): boolean => text.startsWith('display.');

/** Whether a valid pattern is in fact the name of one room. */
export const isExact = (pattern: string): boolean => !pattern.includes('*');

/** Whether a room's name matches a pattern, or any of a list of patterns. */
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

/** Compiles several patterns into one matcher: a room matches if it matches any of them. */
export function roomsMatcher(patterns: readonly string[]): RoomMatcher {
  const matchers = patterns.map(roomMatcher);
  return (room) => matchers.some((matches) => matches(room));
}
