import { STATUS_CODES } from 'node:http';
import type { CloseReason } from '../protocol/close-reason.ts';

/** One thing wrong with an input: where (a path or a parameter's name) and what. */
export interface InputError {
  readonly path: string;
  readonly message: string;
}

/**
 * Why a request is refused, in one word: a fixed set, so that it can be a label of a metric. Where a
 * status has several reasons, the code that throws names one.
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

/** The usual reason of a status; another status below 500 is `input`. */
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
  /** The same as a `closing` event, for an EventSource, which cannot read an HTTP status. */
  readonly closing?: CloseReason;
  /** More headers of the HTTP answer. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/**
 * A request that is refused for a reason that its sender can act on. Thrown where the reason is found,
 * formatted once for each transport: an RFC 9457 problem over HTTP, an error reply over WebSocket.
 * `status` is an HTTP status for both; `message` names the value and what would be accepted.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly details: RefusalDetails;

  constructor(status: number, message: string, details: RefusalDetails = {}) {
    // A refusal names its cause, and its stack is read nowhere. Without one it takes 1 µs instead of 9.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, { cause: details.cause });
    Error.stackTraceLimit = stackTraceLimit;
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

/** The reason of anything thrown: `internal` for what is not a `Refusal`. */
export function reasonOf(error: unknown): RefusalReason {
  return error instanceof Refusal ? error.reason : 'internal';
}

/** A JSON Web Token, or its beginning: it begins with `{"` in Base64. */
const TOKEN = /eyJ[\w-]{8}[\w.-]*/g;

/** The same text with every token in it replaced: an error may be logged on its way, or read by others. */
export function withoutTokens(text: string): string {
  return text.replace(TOKEN, '***');
}

/**
 * A value for a message: its JSON, cut after `maxCharacters`, since any client may have sent it, and without
 * tokens.
 */
export function shown(value: unknown, maxCharacters = 80): string {
  // A long string is cut before it is encoded.
  const text =
    JSON.stringify(typeof value === 'string' ? value.slice(0, maxCharacters) : value) ?? 'undefined';
  const isWhole = typeof value === 'string' ? value.length <= maxCharacters : text.length <= maxCharacters;
  if (isWhole) return withoutTokens(text);
  return withoutTokens(
    typeof value === 'string' ? `${text.slice(0, -1)}…"` : `${text.slice(0, maxCharacters)}…`,
  );
}

/** How many connections a second a server takes back without being overloaded. */
const RECONNECTS_PER_SECOND = 500;
const MIN_SPREAD_MS = 2000;

/**
 * When one of `connections` clients should reconnect: not before `notBeforeMs`, then at a random moment
 * of a time long enough for all of them, so that they do not come as a storm.
 */
export function retryAfterMs(notBeforeMs: number, connections: number): number {
  const spreadMs = Math.max(MIN_SPREAD_MS, (connections / RECONNECTS_PER_SECOND) * 1000);
  return Math.ceil(notBeforeMs + Math.random() * spreadMs);
}
