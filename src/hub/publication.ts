import type { Entry, RecordChange } from '../log/log.ts';
import { Refusal, shown } from './errors.ts';
import {
  checkTarget,
  EVENT_ACCEPTS,
  isDisplayEvent,
  isEventName,
  isKey,
  isServerEvent,
  type JsonText,
  KEY_ACCEPTS,
  type Sender,
  type Target,
  targetRooms,
} from './event.ts';

/** A message to be published. */
export interface Publication {
  readonly target: Target;
  readonly event: string;
  readonly data: JsonText;
  /** Absent: the server or an administrator. */
  readonly from?: Sender;
  /** Retains the message in place of the one that has this key; for rooms only. */
  readonly key?: string | undefined;
  /** How long the message is retained, in milliseconds; absent: until it is replaced or withdrawn. */
  readonly ttlMs?: number | undefined;
  /** Answer as if the message had been sent, and send nothing. */
  readonly dryRun?: boolean;
}

export interface Published {
  /** The last id given; null where no room was addressed. */
  readonly id: string | null;
  /** The rooms that have members, by name. */
  readonly rooms: readonly string[];
  /** Each connection counted once. */
  readonly connections: number;
  /** Devices, connections and users that were named and are not connected. */
  readonly unreached: readonly string[];
  /** Rooms that were named exactly, that nobody is in, and that no rule is meant for. */
  readonly unknown: readonly string[];
  /** Whether a history keeps the message, or it is retained. */
  readonly kept: boolean;
}

/** What is stored in the same transaction as a publication, given its answer. */
export type ChangesOf = (published: Published) => readonly RecordChange[];

export interface PublishOptions {
  /** Called once all else is checked; may throw a `Refusal`. */
  readonly beforehand?: () => void;
  readonly changesOf?: ChangesOf | undefined;
  /**
   * Delivers the message when it is stored, and not before. Where the log is written again after a crash, a
   * message that was delivered but not stored would be sent a second time.
   */
  readonly isStoredFirst?: boolean;
}

/** Checks what is published, whichever way it came. Throws a `Refusal`. */
export function checkPublication(publication: Publication, eventBytes: number): void {
  const { event, target, data, from, key, ttlMs } = publication;
  if (!isEventName(event)) {
    throw Refusal.invalid('event', `${shown(event)} is not an event name: ${EVENT_ACCEPTS}`);
  }
  if (isServerEvent(event)) {
    throw Refusal.invalid('event', `"${event}" is sent by the server alone: choose another name`);
  }
  if (from && isDisplayEvent(event)) {
    throw Refusal.invalid('event', `"${event}" may be sent by administrators only`);
  }
  checkTarget(target);
  if (key !== undefined && !isKey(key)) {
    throw Refusal.invalid('key', `${shown(key)} is not a key: ${KEY_ACCEPTS}`);
  }
  if (key !== undefined && targetRooms(target).length === 0) {
    throw Refusal.invalid('key', 'only rooms retain messages: name rooms, or leave the key out');
  }
  if (ttlMs !== undefined && key === undefined) {
    throw Refusal.invalid('ttl', 'only a retained message has a ttl: give it a key');
  }
  const bytes = Buffer.byteLength(data);
  if (bytes > eventBytes) {
    throw new Refusal(413, `data is ${bytes} bytes of JSON: limits.eventBytes allows ${eventBytes}`);
  }
}

/** The message of a publication, before it is in a room. */
export function unaddressed({ event, data, from }: Publication, time: string): Omit<Entry, 'room'> {
  return { event, time, data, ...(from && { from }) };
}
