import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Cancel, Clock } from '../clock.ts';
import type { Retention } from './log.ts';
import { ANY_ROOM, type StoreFile } from './store-file.ts';
import type { StoreSpace } from './store-space.ts';

export interface StoreTrimmerOptions {
  readonly file: StoreFile;
  readonly space: StoreSpace;
  readonly clock: Clock;
  readonly settings: { readonly current: { retentionOf(room: string): Retention } };
  /** On the log's clock. */
  readonly nowMs: () => number;
  /** The newest. */
  readonly position: () => number;
  readonly maxBytes: number;
  readonly onFault: (what: string, error: unknown) => void;
}

/** How long the event loop is held in one go. */
const SLICE_MS = 5;

/** So many messages are removed by one transaction. */
const REMOVALS_PER_SLICE = 200;

/** The same where each may be of another room, which takes twice as long. */
const OLDEST_PER_SLICE = 100;

/** Between two looks at what is too old, too many or too large. */
const PAUSE_MS = 1000;

/** So many rooms are looked at in each of them: all of 10,000 rooms once in 200 s. A room takes about 0.1 ms. */
const ROOMS_PER_LOOK = 50;

/** A room that got so many messages is looked at without waiting for that. */
const MESSAGES_TILL_LOOK = 32;

/** Above this share of `maxBytes` the oldest messages are removed, until the store is below the second one. */
const FULL_SHARE = 0.8;
const TRIMMED_SHARE = 0.75;

/** After this share of `maxBytes` the size is looked at again. */
const SHARE_TILL_LOOK = 1 / 64;

/** Of so many rooms it is known what they have lost; of the others only the newest that one of them lost. */
const MAX_LOST_ROOMS = 50_000;

/**
 * Removes messages from the store in the background: those that are too many or too old for their room,
 * and, above `maxBytes`, the oldest of all rooms. What a room lost is stored in the same transaction.
 * Pages that become free are used again; the file itself never becomes smaller. The reserve above
 * `FULL_SHARE` is for pages that are free and scattered.
 */
export class StoreTrimmer {
  readonly #options: StoreTrimmerOptions;
  /** Messages since the room was looked at. */
  readonly #added = new Map<string, number>();
  readonly #due = new Set<string>();
  #bytesTillLook = 0;
  #isFull = false;
  /** The room that was looked at last, by name. */
  #lookedAt = '';
  #cancel: Cancel = () => {};
  #working: Promise<void> | undefined;
  #isStopped = false;
  #hasFailed = false;
  #removals = 0;
  /** Of the space. */
  #taken = 0;
  #sliceEndsAtMs = 0;
  #stored: Promise<unknown> = Promise.resolve();

  constructor(options: StoreTrimmerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancel = this.#options.clock.after(PAUSE_MS, () => void this.#look());
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    await this.#working;
  }

  /** A message was handed to the file. */
  added(room: string, bytes: number): void {
    const added = (this.#added.get(room) ?? 0) + 1;
    this.#added.set(room, added);
    if (added >= MESSAGES_TILL_LOOK) this.#due.add(room);
    this.#bytesTillLook -= bytes;
    if (added >= MESSAGES_TILL_LOOK || this.#bytesTillLook < 0) void this.#look();
  }

  /** Resolves when there is room for messages: at once, but where more come than can be removed. */
  async hasSpace(): Promise<void> {
    while (this.#isFull && this.#working) await this.#working;
  }

  #look(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
      this.#cancel();
      if (!this.#isStopped) this.start();
    });
    return this.#working;
  }

  async #work(): Promise<void> {
    // What has just been added is not in the file yet, and its transaction takes the removals with it.
    await nextIteration();
    try {
      await this.#beginSlice();
      await this.#trimBytes();
      for (const room of this.#due) {
        if (this.#isStopped) break;
        await this.#trimRoom(room);
      }
      await this.#trimNextRooms();
      if (this.#options.file.lostCount > MAX_LOST_ROOMS) await this.#forgetLost();
      await this.#stored;
      this.#hasFailed = false;
    } catch (error) {
      // On a full disk it fails each time.
      if (!this.#hasFailed) this.#options.onFault('messages could not be removed from the store', error);
      this.#hasFailed = true;
    }
    this.#releaseSpace();
  }

  /** Removes the oldest messages of all rooms while the store is too large. */
  async #trimBytes(): Promise<void> {
    const { file, maxBytes } = this.#options;
    this.#bytesTillLook = maxBytes * SHARE_TILL_LOOK;
    if (file.usedBytes <= maxBytes * FULL_SHARE) return;
    try {
      while (!this.#isStopped && file.usedBytes > maxBytes * TRIMMED_SHARE) {
        this.#isFull = file.usedBytes > maxBytes;
        const isEmpty = !this.#removeOldest();
        await this.#endSlice();
        if (isEmpty) break;
      }
    } finally {
      this.#isFull = false;
    }
  }

  /** Removes as many as one slice has time for; false where there is none. */
  #removeOldest(): boolean {
    const { file } = this.#options;
    const removed = new Map<string, number[]>();
    const damaged: number[] = [];
    for (const { position, room } of file.oldest()) {
      if (room === undefined) damaged.push(position);
      else mapped(removed, room).push(position);
      if (this.#isSliceOver(1) || this.#removals >= OLDEST_PER_SLICE) break;
    }
    if (this.#removals === 0) return false;
    this.#commits(file.removeMessages(removed, damaged));
    for (const [room, positions] of removed) {
      if (!this.#added.has(room)) continue;
      // A room without messages is not among those that are looked at, where it would be forgotten.
      const isEmpty = file.entriesAfter(room, positions.at(-1) ?? 0, 1).length === 0;
      if (isEmpty) this.#added.delete(room);
    }
    return true;
  }

  /** Removes what is too many or too old for the room. */
  async #trimRoom(room: string): Promise<void> {
    const { file, settings, nowMs } = this.#options;
    this.#due.delete(room);
    this.#added.delete(room);
    const { messages, ms } = settings.current.retentionOf(room);
    const oldestMs = nowMs() - ms;
    const tooMany = file.positionBehind(room, messages);
    // Most of the rooms that are looked at have nothing to lose.
    let limit = 4;
    for (let after = 0; !this.#isStopped; ) {
      const entries = file.entriesAfter(room, after, limit);
      const kept = entries.findIndex(({ position, atMs }) => position > tooMany && atMs >= oldestMs);
      const removed = (kept === -1 ? entries : entries.slice(0, kept)).map(({ position }) => position);
      if (removed.length > 0) this.#commits(file.removeMessages(new Map([[room, removed]])));
      if (this.#isSliceOver(removed.length)) await this.#endSlice();
      if (removed.length < limit) return;
      after = removed.at(-1) ?? 0;
      limit = REMOVALS_PER_SLICE;
    }
  }

  async #trimNextRooms(): Promise<void> {
    for (let looked = 0; looked < ROOMS_PER_LOOK && !this.#isStopped; looked++) {
      const room = this.#options.file.roomAfter(this.#lookedAt);
      this.#lookedAt = room ?? '';
      if (room === undefined) return;
      await this.#trimRoom(room);
    }
  }

  /** Forgets the rooms that lost nothing in the newer half of the positions, as seen from what is forgotten. */
  async #forgetLost(): Promise<void> {
    const { file, position } = this.#options;
    const upTo = Math.floor((file.lostOf(ANY_ROOM) + position()) / 2);
    for (let after = ANY_ROOM; !this.#isStopped; ) {
      const lost = file.lostAfter(after, REMOVALS_PER_SLICE);
      const last = lost.at(-1);
      if (!last) return;
      // Where older messages than the lost one are left, only this entry tells of the gap between them.
      const isForgotten = ({ room, position }: (typeof lost)[number]) =>
        position <= upTo && file.entries(room, position, 1).length === 0;
      const rooms = lost.filter(isForgotten).map(({ room }) => room);
      this.#commits(file.forgetLost(rooms, upTo));
      await this.#endSlice();
      after = last.room;
    }
  }

  async #beginSlice(): Promise<void> {
    const { file, space, clock } = this.#options;
    const bytes = file.growthOfRemovals(REMOVALS_PER_SLICE);
    await space.take(bytes);
    this.#taken = bytes;
    this.#removals = 0;
    this.#sliceEndsAtMs = clock.monotonic() + SLICE_MS;
  }

  #releaseSpace(): void {
    this.#options.space.release(this.#taken);
    this.#taken = 0;
  }

  #isSliceOver(removals: number): boolean {
    this.#removals += removals;
    return this.#removals >= REMOVALS_PER_SLICE || this.#options.clock.monotonic() >= this.#sliceEndsAtMs;
  }

  #commits(commit: Promise<unknown>): void {
    // It is awaited at the end of the slice.
    commit.catch(() => {});
    this.#stored = commit;
  }

  /** Resolves when what was removed is removed on disk, since what is read shows it only then. */
  async #endSlice(): Promise<void> {
    await this.#stored;
    this.#releaseSpace();
    await nextIteration();
    await this.#beginSlice();
  }
}

/** The list of a room, which is made where it is missing. */
function mapped(lists: Map<string, number[]>, room: string): number[] {
  const list = lists.get(room) ?? [];
  lists.set(room, list);
  return list;
}
