import { STATUS_CODES } from 'node:http';
import type { CloseReason } from './close-reason.ts';

/** One thing wrong with an input: where (a path or a parameter's name) and what. */
export interface InputError {
  readonly path: string;
  readonly message: string;
}

export interface RefusalDetails {
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

  get title(): string {
    return STATUS_CODES[this.status] ?? 'Error';
  }
}
