import type { Publication } from './administration.ts';
import { Refusal, shown } from './errors.ts';
import {
  EVENT_ACCEPTS,
  isDisplayEvent,
  isEventName,
  isExact,
  isRoomPattern,
  isServerEvent,
  PATTERN_ACCEPTS,
  targetRooms,
} from './event.ts';

/** The keys of a target. */
const ADDRESSED = ['rooms', 'devices', 'connections', 'users', 'except'] as const;

/** Each of them is held against the name of each room that exists. */
const MAX_WILDCARDS = 100;

/** What everything that is published has to pass, whoever published it. Throws `Refusal`. */
export function checkPublication(publication: Publication, eventBytes: number): void {
  const { event, target, data, from } = publication;
  if (!isEventName(event)) refuse('event', `${shown(event)} is not an event name: ${EVENT_ACCEPTS}`);
  if (isServerEvent(event)) refuse('event', `"${event}" is sent by the server alone: choose another name`);
  if (from && isDisplayEvent(event)) refuse('event', `"${event}" may be sent by administrators only`);
  checkTarget(target);
  const patterns = targetRooms(target);
  const wildcards = patterns.filter((pattern) => !isExact(pattern)).length;
  if (wildcards > MAX_WILDCARDS) {
    refuse('rooms', `${wildcards} patterns with * are too many: name at most ${MAX_WILDCARDS} in one call`);
  }
  for (const room of patterns) {
    if (!isRoomPattern(room)) refuse('rooms', `${shown(room)} is not a room pattern: ${PATTERN_ACCEPTS}`);
  }
  const bytes = Buffer.byteLength(data);
  if (bytes > eventBytes) {
    throw new Refusal(413, `data is ${bytes} bytes of JSON: limits.eventBytes allows ${eventBytes}`);
  }
}

/** A program that embeds the server may be written without types. */
function checkTarget(target: unknown): void {
  if (typeof target !== 'object' || target === null || Array.isArray(target)) {
    refuse('target', `${shown(target)} is not a target: give an object such as {"rooms":["lobby"]}`);
  }
  for (const key of ADDRESSED) {
    const named: unknown = Reflect.get(target, key);
    if (named === undefined || (Array.isArray(named) && named.every((each) => typeof each === 'string')))
      continue;
    refuse(key, `${shown(named)} is not a list of texts: give one such as ["a"]`);
  }
}

function refuse(path: string, message: string): never {
  throw Refusal.invalid(path, message);
}
