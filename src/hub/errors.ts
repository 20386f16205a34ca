import { STATUS_CODES } from 'node:http';
import type { CloseReason } from './close-reason.ts';

/** One thing wrong with an input: where (a path or a parameter's name) and what. */
export interface InputError {
  readonly path: string;
  readonly message: string;
}

/**
 * Why something is turned down, in one word, for those who count: a fixed set, so that it can be a
 * label. Where a status has several reasons, whoever throws names it.
 */
export type RefusalReason =
  | 'address'
  | 'attempts'
  | 'conflict'
  | 'draining'
  | 'full'
  | 'host'
  | 'input'
  | 'internal'
  | 'lock'
  | 'method'
  | 'origin'
  | 'rate'
  | 'representation'
  | 'role'
  | 'rooms'
  | 'rule'
  | 'size'
  | 'timeout'
  | 'token'
  | 'type'
  | 'unknown'
  | 'upgrade';

/** What a status stands for where nothing more is said; another one below 500 is `input`. */
const REASONS: ReadonlyMap<number, RefusalReason> = new Map([
  [401, 'token'],
  [403, 'rule'],
  [404, 'unknown'],
  [405, 'method'],
  [406, 'representation'],
  [408, 'timeout'],
  [409, 'conflict'],
  [413, 'size'],
  [415, 'type'],
  [421, 'host'],
  [423, 'lock'],
  [426, 'upgrade'],
  [429, 'rate'],
  [431, 'size'],
  [503, 'full'],
]);

export interface RefusalDetails {
  /** Absent: the usual one of the status. */
  readonly reason?: RefusalReason;
  readonly errors?: readonly InputError[];
  /** When it is worth trying again; absent: not by itself. */
  readonly retryAfterMs?: number;
  /** The same in the words of a stream, for those who cannot read an HTTP status (EventSource). */
  readonly closing?: CloseReason;
  /** More headers of the HTTP answer. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/**
 * A request that is turned down, for a reason that its sender can act on. Thrown wherever the reason
 * is found and formatted once for each way in: an RFC 9457 problem over HTTP, an error reply over
 * WebSocket. `status` is an HTTP status for both; `message` names the value and what would do.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly details: RefusalDetails;

  constructor(status: number, message: string, details: RefusalDetails = {}) {
    super(message, { cause: details.cause });
    this.status = status;
    this.details = details;
  }

  /** The 400 for one input that is wrong. */
  static invalid(path: string, message: string): Refusal {
    return new Refusal(400, message, { errors: [{ path, message }] });
  }

  get title(): string {
    return STATUS_CODES[this.status] ?? 'Error';
  }

  get reason(): RefusalReason {
    return this.details.reason ?? REASONS.get(this.status) ?? (this.status < 500 ? 'input' : 'internal');
  }
}

/** The reason of whatever was thrown: `internal` for what was not meant for anybody's eyes. */
export function reasonOf(error: unknown): RefusalReason {
  return error instanceof Refusal ? error.reason : 'internal';
}

/** A value as messages repeat it: its JSON, cut after `most` characters, since a stranger may have sent it. */
export function shown(value: unknown, most = 80): string {
  // A text is cut first, so that a long one is not written out for nothing.
  const text = JSON.stringify(typeof value === 'string' ? value.slice(0, most) : value) ?? 'undefined';
  const isWhole = typeof value === 'string' ? value.length <= most : text.length <= most;
  if (isWhole) return text;
  return typeof value === 'string' ? `${text.slice(0, -1)}…"` : `${text.slice(0, most)}…`;
}
