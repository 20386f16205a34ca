import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Limits } from '../limits.ts';
import type { Log, RecordChange } from '../log/log.ts';
import { Refusal, shown } from './errors.ts';
import type { JsonText } from './event.ts';

/** How long the answer to a request with a key is kept. */
const KEPT_MS = 24 * 3_600_000;

/** What an answer takes in memory beside its JSON: roughly, its id, its hash and the objects that hold them. */
const OVERHEAD_BYTES = 500;

/** A request that may be sent again, with its `Idempotency-Key`. */
export interface KeyedRequest {
  /** Who sent it: each token has keys of its own. Not its name, which may come to stand for another token. */
  readonly sender: string;
  readonly key: string;
  /** Of all that the request says: the same key with another hash is refused. */
  readonly hash: string;
}

/** The records that are stored in the same transaction as what a request did. */
export type RecordsOf<Answer> = (answer: Answer) => readonly RecordChange[];

interface Kept {
  readonly hash: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly answer: JsonText;
}

interface Running {
  readonly hash: string;
  /** Resolves when the request has been answered or refused. */
  readonly ended: Promise<void>;
}

export interface IdempotencyKeysOptions {
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Pick<Log, 'append' | 'records'>;
  readonly settings: {
    readonly current: { readonly limits: Pick<Limits, 'idempotencyKeys' | 'idempotencyBytes'> };
  };
}

/**
 * The answers to requests with an `Idempotency-Key`, so that a retry gets the same answer and sends nothing.
 * Each is a record in the transaction of what its request did: after a crash both are there, or neither. A
 * request that was refused is not kept; a retry of it is a new request.
 *
 * Kept for 24 hours within bounds of number and bytes. At the bound the oldest are forgotten: a retry comes
 * within minutes, and refusing new requests would stop a sender that does everything right.
 */
export class IdempotencyKeys {
  readonly #options: IdempotencyKeysOptions;
  /** Oldest first. */
  readonly #kept = new Map<string, Kept>();
  readonly #running = new Map<string, Running>();
  #bytes = 0;

  constructor(options: IdempotencyKeysOptions) {
    this.#options = options;
  }

  /** Reads the answers from the log. To be awaited before the first request; again where a start has failed. */
  async start(): Promise<void> {
    for (const id of [...this.#kept.keys()]) this.#remove(id);
    const records = await this.#options.log.records('idempotency');
    // Written by `#keep` alone.
    const all = [...records].map(([id, text]): [string, Kept] => [id, JSON.parse(text)]);
    for (const [id, kept] of all.sort(([, a], [, b]) => a.atMs - b.atMs)) this.#add(id, kept);
  }

  /**
   * Answers as the first request with this key did; otherwise calls `act`, which stores what `RecordsOf` gives
   * together with what it does, and keeps its answer. While the first is running, the others wait for it.
   * Throws a 422 `Refusal` where the key was sent with another request.
   */
  async once<Answer>(
    request: KeyedRequest,
    act: (recordsOf: RecordsOf<Answer>) => Promise<Answer>,
  ): Promise<Answer> {
    const id = idOf(request);
    for (let running = this.#running.get(id); running; running = this.#running.get(id)) {
      checkSame(request, running);
      await running.ended;
    }
    const kept = this.#kept.get(id);
    if (kept && !this.#isOver(kept)) {
      checkSame(request, kept);
      return JSON.parse(kept.answer);
    }
    const answered = act((answer) => this.#keep(id, request.hash, answer));
    const ended = answered.then(
      () => {},
      // Kept, but not stored: its sender was told that it failed.
      () => this.#remove(id),
    );
    this.#running.set(id, { hash: request.hash, ended });
    try {
      return await answered;
    } finally {
      await ended;
      this.#running.delete(id);
    }
  }

  /** Keeps an answer. Returns how the records change. */
  #keep(id: string, hash: string, answer: unknown): RecordChange[] {
    const { idempotencyKeys, idempotencyBytes } = this.#options.settings.current.limits;
    const kept: Kept = { hash, atMs: this.#options.clock.now(), answer: JSON.stringify(answer) };
    this.#remove(id);
    const dropped: string[] = [];
    for (const [oldest, each] of this.#kept) {
      const isFull = this.#kept.size >= idempotencyKeys || this.#bytes + bytesOf(kept) > idempotencyBytes;
      if (!isFull && !this.#isOver(each)) break;
      this.#remove(oldest);
      dropped.push(oldest);
    }
    this.#add(id, kept);
    return [...dropped.map((each) => change(each, null)), change(id, JSON.stringify(kept))];
  }

  #add(id: string, kept: Kept): void {
    this.#kept.set(id, kept);
    this.#bytes += bytesOf(kept);
  }

  #remove(id: string): void {
    const kept = this.#kept.get(id);
    if (!kept) return;
    this.#kept.delete(id);
    this.#bytes -= bytesOf(kept);
  }

  #isOver({ atMs }: Kept): boolean {
    return this.#options.clock.now() - atMs >= KEPT_MS;
  }
}

/** Of one length, whatever the names are. */
function idOf({ sender, key }: KeyedRequest): string {
  return createHash('sha256')
    .update(JSON.stringify([sender, key]))
    .digest('base64url');
}

function checkSame({ key, hash }: KeyedRequest, first: { readonly hash: string }): void {
  if (first.hash === hash) return;
  const detail = `the Idempotency-Key ${shown(key)} came with another request before: take a new key, or send the same again`;
  throw new Refusal(422, detail, { reason: 'conflict' });
}

function change(id: string, value: JsonText | null): RecordChange {
  return { kind: 'idempotency', key: id, value };
}

function bytesOf({ answer }: Kept): number {
  return Buffer.byteLength(answer) + OVERHEAD_BYTES;
}
