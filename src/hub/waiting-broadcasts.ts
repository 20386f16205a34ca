import { randomBytes } from 'node:crypto';
import { type Cancel, type Clock, instant } from '../clock.ts';
import type { Limits } from '../limits.ts';
import type { Log, RecordChange } from '../log/log.ts';
import { Refusal, shown } from './errors.ts';
import type { JsonText } from './event.ts';
import type { Hub } from './hub.ts';
import type { RecordsOf } from './idempotency.ts';
import type { Publication } from './publication.ts';
import type { PageQuery } from './views.ts';

/** When a broadcast is to be sent, as its sender says it: at most one of `atMs` and `inMs`. */
export interface When {
  /** Milliseconds since the epoch. */
  readonly atMs?: number | undefined;
  /** Milliseconds from now. */
  readonly inMs?: number | undefined;
  /** A broadcast that is later than this is not sent any more; 1000 or more. Default: a minute. */
  readonly missedWithinMs?: number | undefined;
}

interface Due {
  readonly atMs: number;
  readonly missedWithinMs: number;
}

/** The answer to a broadcast that waits. */
export interface Accepted {
  readonly id: string;
  /** When it is sent, RFC 3339. */
  readonly at: string;
}

/** A broadcast as its record in the log holds it. */
interface WaitingRecord extends Due {
  readonly publication: Publication;
  readonly missed?: {
    /** When that was found, milliseconds since the epoch. */
    readonly foundAtMs: number;
    readonly reason: string;
  };
}

interface Waiting {
  readonly id: string;
  record: WaitingRecord;
  readonly bytes: number;
  /** While it is being stored, sent or cancelled. */
  isHeld: boolean;
  /** It could not be sent for a reason that may pass. */
  hasFailed: boolean;
}

export interface WaitingBroadcastsOptions {
  readonly clock: Clock;
  readonly log: Pick<Log, 'append' | 'records'>;
  readonly hub: Pick<Hub, 'publish'>;
  readonly settings: {
    readonly current: { readonly limits: Pick<Limits, 'waitingBroadcasts' | 'waitingBytes'> };
  };
  readonly onMissed: (missed: Accepted & { readonly reason: string }) => void;
  /** Called with faults that reach no caller. */
  readonly onFault: (what: string, error: unknown) => void;
}

const DEFAULT_MISSED_WITHIN_MS = 60_000;
/** An instant that has passed by no more is now: a request takes some time, and clocks differ. */
const MAX_PAST_MS = 1000;
/** A later time is probably a mistake. */
const MAX_WAIT_MS = 366 * 86_400_000;
/** How long a missed broadcast is listed. */
const MISSED_LISTED_MS = 24 * 3_600_000;
/** A step of the clock is noticed within this time, and what could not be sent is tried again. */
const MAX_SLEEP_MS = 2000;
/** What one takes in memory beside its JSON, roughly. */
const OVERHEAD_BYTES = 1000;

/**
 * The broadcasts that are sent later, each once: sending is one transaction with the removal of its record,
 * so that it is sent once also where the process ends before, after or meanwhile.
 *
 * Whether one is due is told by the wall clock alone, at most two seconds after a step of it. One that is
 * found late by less than `missedWithin` is sent; any other was missed: while no server ran, while the
 * machine was suspended, or since the clock was set forward. After a step back it waits for its time by the
 * new clock. A missed one is never sent; it is listed for a day.
 */
export class WaitingBroadcasts {
  readonly #options: WaitingBroadcastsOptions;
  readonly #byId = new Map<string, Waiting>();
  #bytes = 0;
  #isRunning = false;
  #cancelTimer: Cancel = () => {};
  /** Broadcasts missed since the start. */
  missed = 0;

  constructor(options: WaitingBroadcastsOptions) {
    this.#options = options;
  }

  /** Reads from the log what waited when the last process ended. `run` begins to send. */
  async start(): Promise<void> {
    for (const waiting of [...this.#byId.values()]) this.#remove(waiting);
    // Written by `recordOf` alone.
    for (const [id, text] of await this.#options.log.records('waiting')) this.#add(id, JSON.parse(text));
  }

  /** Sends what is due, now and later. */
  run(): void {
    this.#isRunning = true;
    this.#arm();
  }

  /** Sends nothing any more; what waits is sent after the next start. Leaves no timer. */
  stop(): void {
    this.#isRunning = false;
    this.#cancelTimer();
  }

  /** How many wait. */
  get count(): number {
    return [...this.#byId.values()].filter(({ record }) => !record.missed).length;
  }

  /** Throws a 400 `Refusal` for a time that has passed, or is no time. */
  dueOf({ atMs, inMs, missedWithinMs = DEFAULT_MISSED_WITHIN_MS }: When): Due {
    const nowMs = this.#options.clock.now();
    if (atMs !== undefined && inMs !== undefined) {
      throw Refusal.invalid('in', 'at and in exclude each other: give one of them');
    }
    const dueMs = atMs ?? Math.ceil(nowMs + (inMs ?? 0));
    if (dueMs < nowMs - MAX_PAST_MS) {
      const passed = `${shown(instant(dueMs))} has passed: it is ${instant(nowMs)} here`;
      throw Refusal.invalid('at', `${passed}; give a later time, or leave it out to send now`);
    }
    if (dueMs > nowMs + MAX_WAIT_MS) {
      throw Refusal.invalid('at', `${shown(instant(dueMs))} is too far: at most 366 days from now`);
    }
    return { atMs: dueMs, missedWithinMs };
  }

  /**
   * Keeps a broadcast until its time; resolves when it is stored, together with what `recordsOf` gives for the
   * answer. Throws a `Refusal` for what may not be published, 409 for one too many, 503 where it cannot be
   * stored.
   */
  async add(publication: Publication, when: When, recordsOf?: RecordsOf<Accepted>): Promise<Accepted> {
    const due = this.dueOf(when);
    await this.#options.hub.publish({ ...publication, dryRun: true });
    // Ordered as they are due.
    const id = `${due.atMs.toString(36).padStart(9, '0')}-${randomBytes(5).toString('hex')}`;
    const changes = this.#makeRoom(bytesOf({ ...due, publication }));
    const waiting = this.#add(id, { ...due, publication });
    waiting.isHeld = true;
    const answer = { id, at: instant(due.atMs) };
    try {
      await this.#store(() => [...changes, changeOf(waiting), ...(recordsOf?.(answer) ?? [])]);
    } catch (cause) {
      this.#remove(waiting);
      throw unstored('the broadcast could not be stored', cause);
    }
    waiting.isHeld = false;
    this.#arm();
    return answer;
  }

  /** Those that wait and those that were missed, as JSON, in the order of their times; not one that is being sent. */
  async list({ after = '', limit }: PageQuery): Promise<{ readonly id: string; readonly text: JsonText }[]> {
    this.#dropOld();
    const listed = [...this.#byId.values()].filter(({ id, isHeld }) => id > after && !isHeld);
    const page = listed.sort(byTime).slice(0, limit);
    return page.map((waiting) => ({ id: waiting.id, text: textOf(waiting) }));
  }

  /** It is not sent, and not listed any more. 404 where it does not wait, and was not missed. */
  async cancel(id: string): Promise<Accepted> {
    const waiting = this.#byId.get(id);
    if (!waiting || waiting.isHeld) {
      throw new Refusal(404, `there is no broadcast ${shown(id)} that waits: it was sent, or never there`);
    }
    waiting.isHeld = true;
    try {
      await this.#store(() => [removalOf(id)]);
    } catch (cause) {
      waiting.isHeld = false;
      this.#arm();
      throw unstored('the broadcast could not be cancelled', cause);
    }
    this.#remove(waiting);
    return { id, at: instant(waiting.record.atMs) };
  }

  /** Sends or gives up what is due; the earliest first, so that messages leave in their order. */
  #wake(): void {
    const nowMs = this.#options.clock.now();
    const due = [...this.#byId.values()]
      .filter((each) => isWaiting(each) && each.record.atMs <= nowMs)
      .sort(byTime);
    for (const waiting of due) {
      const { atMs, missedWithinMs } = waiting.record;
      const lateMs = nowMs - atMs;
      if (lateMs < missedWithinMs) void this.#send(waiting);
      else void this.#giveUp(waiting, `it was ${lateMs} ms late, with missedWithin of ${missedWithinMs} ms`);
    }
    this.#arm();
  }

  async #send(waiting: Waiting): Promise<void> {
    const { hub, onFault } = this.#options;
    waiting.isHeld = true;
    try {
      const changesOf = () => [removalOf(waiting.id)];
      await hub.publish(waiting.record.publication, { changesOf, isStoredFirst: true });
      this.#remove(waiting);
    } catch (error) {
      if (error instanceof Refusal && error.status < 500) {
        await this.#giveUp(waiting, error.message);
      } else {
        if (!waiting.hasFailed) onFault(`the broadcast ${waiting.id} is tried again`, error);
        waiting.hasFailed = true;
        waiting.isHeld = false;
        this.#arm();
      }
    }
  }

  async #giveUp(waiting: Waiting, reason: string): Promise<void> {
    const { clock, onMissed, onFault } = this.#options;
    waiting.record = { ...waiting.record, missed: { foundAtMs: clock.now(), reason } };
    waiting.isHeld = false;
    this.missed++;
    onMissed({ id: waiting.id, at: instant(waiting.record.atMs), reason });
    await this.#store(() => [changeOf(waiting)]).catch((error) =>
      onFault(`that the broadcast ${waiting.id} was missed could not be stored`, error),
    );
  }

  /** Drops missed broadcasts where one more would be too many; throws a 409 `Refusal` where that is not enough. */
  #makeRoom(bytes: number): RecordChange[] {
    const { waitingBroadcasts, waitingBytes } = this.#options.settings.current.limits;
    const missed = [...this.#byId.values()].filter(({ record }) => record.missed);
    const missedBytes = missed.reduce((sum, each) => sum + each.bytes, 0);
    const instead = 'cancel one with DELETE /admin/broadcasts/{id}, or send it later';
    if (this.#byId.size - missed.length >= waitingBroadcasts) {
      const count = this.#byId.size - missed.length;
      throw new Refusal(409, `${count} broadcasts wait (limits.waitingBroadcasts): ${instead}`);
    }
    if (this.#bytes - missedBytes + bytes > waitingBytes) {
      const detail = `waiting broadcasts would take ${this.#bytes - missedBytes + bytes} bytes of memory`;
      throw new Refusal(409, `${detail}, and limits.waitingBytes is ${waitingBytes}: ${instead}`);
    }
    const dropped: RecordChange[] = [];
    for (const each of missed.sort(byTime)) {
      if (this.#byId.size < waitingBroadcasts && this.#bytes + bytes <= waitingBytes) break;
      this.#remove(each);
      dropped.push(removalOf(each.id));
    }
    return dropped;
  }

  /** Forgets broadcasts that were missed a day ago. */
  #dropOld(): void {
    const { clock, onFault } = this.#options;
    const oldestMs = clock.now() - MISSED_LISTED_MS;
    const old = [...this.#byId.values()].filter(
      ({ record: { missed } }) => missed && missed.foundAtMs <= oldestMs,
    );
    if (old.length === 0) return;
    for (const waiting of old) this.#remove(waiting);
    this.#store(() => old.map(({ id }) => removalOf(id))).catch((error) =>
      onFault('missed broadcasts could not be removed from the log', error),
    );
  }

  #add(id: string, record: WaitingRecord): Waiting {
    const waiting = { id, record, bytes: bytesOf(record), isHeld: false, hasFailed: false };
    this.#byId.set(id, waiting);
    this.#bytes += waiting.bytes;
    return waiting;
  }

  #remove(waiting: Waiting): void {
    if (this.#byId.delete(waiting.id)) this.#bytes -= waiting.bytes;
  }

  async #store(changesOf: () => readonly RecordChange[]): Promise<void> {
    const { stored } = await this.#options.log.append([], changesOf);
    await stored;
  }

  /** Sets the timer for the next wake; where nothing waits it leaves none. */
  #arm(): void {
    this.#cancelTimer();
    if (!this.#isRunning) return;
    const { clock } = this.#options;
    const nowMs = clock.now();
    let delayMs = Number.POSITIVE_INFINITY;
    for (const waiting of this.#byId.values()) {
      if (!isWaiting(waiting)) continue;
      delayMs = Math.min(
        delayMs,
        waiting.hasFailed ? MAX_SLEEP_MS : Math.max(waiting.record.atMs - nowMs, 0),
      );
    }
    if (delayMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = clock.after(Math.min(delayMs, MAX_SLEEP_MS), () => this.#wake());
  }
}

/** Ids are ordered as the times are. */
function byTime(a: Waiting, b: Waiting): number {
  return a.id < b.id ? -1 : 1;
}

function isWaiting({ isHeld, record }: Waiting): boolean {
  return !isHeld && !record.missed;
}

function changeOf({ id, record }: Waiting): RecordChange {
  return { kind: 'waiting', key: id, value: JSON.stringify(record) };
}

function removalOf(id: string): RecordChange {
  return { kind: 'waiting', key: id, value: null };
}

function bytesOf(record: WaitingRecord): number {
  return Buffer.byteLength(JSON.stringify(record)) + OVERHEAD_BYTES;
}

/** As the list shows it. */
function textOf({ id, record: { atMs, missedWithinMs, publication, missed } }: Waiting): JsonText {
  const { target, event, data, key, ttlMs } = publication;
  const state = missed ? 'missed' : 'waiting';
  const reason = missed?.reason ?? null;
  const head = { id, at: instant(atMs), state, reason, missedWithinMs, ...target, event, key, ttlMs };
  return `${JSON.stringify(head).slice(0, -1)},"data":${data}}`;
}

function unstored(what: string, cause: unknown): Refusal {
  return new Refusal(503, `${what}: try again`, { reason: 'internal', cause });
}
