import type { CloseReason } from '../protocol/close-reason.ts';
import { members } from './messages.ts';

/** How a connection ended, or why there was none. */
export type Ending = Closed | ({ readonly how: 'refused' } & Refused) | Failed;

/** It was open. */
export interface Closed {
  readonly how: 'closed';
  /** `NO_CLOSE_FRAME` where the transport brought none. */
  readonly code: number;
  readonly reason: string;
  /** What the server said before; the client adds it. */
  readonly closing?: CloseReason | undefined;
  /** The client cut it because nothing had come for so long. */
  readonly silentMs?: number;
}

/** The server answered with something else than a connection. */
export interface Refused {
  /** Of HTTP. */
  readonly status: number;
  /** Status, title and detail in one line. */
  readonly text: string;
  /** When it is worth trying again; absent: not by itself. */
  readonly retryAfterMs?: number;
}

/** No answer, or none that opened a connection. */
export interface Failed {
  readonly how: 'failed';
  /** Why; may be empty in browsers, which do not say. */
  readonly text: string;
  /** The same address was answered over plain HTTP: something on the way lets no WebSocket through. */
  readonly isBlocked?: true;
}

/** The code of a connection that was lost. */
export const NO_CLOSE_FRAME = 1006;

export interface WireListener {
  /** May be left out: the first event that is no `closing` says the same. */
  opened(): void;
  /** One JSON object. */
  received(text: string): void;
  /** A sign of life that carries nothing: a ping. */
  pinged(): void;
  /** Once, and nothing after it. */
  ended(ending: Ending): void;
}

/**
 * One connection over one transport. Its listener is first called after it was returned, and not again
 * after `close` or `terminate`.
 */
export interface Wire {
  /**
   * Resolves when the text has left this process or the connection is over. Absent where the transport
   * only listens.
   */
  send?(text: string): Promise<void>;
  /** Stops reading, so that the server's side fills up, until `resume`. Absent where the transport cannot. */
  pause?(): void;
  resume?(): void;
  /** Closes an open connection with 1000. Resolves when it is over, which `terminate` hastens. */
  close(): Promise<void>;
  /** Drops the connection, or the attempt to make one, at once. */
  terminate(): void;
}

/** Opens a connection. `address` is the client's, with the `since` to resume from. */
export type OpenWire = (address: URL, listener: WireListener) => Wire;

/** Reads a refusal: the status line, `Retry-After`, and the body where it is JSON. */
export function refusedBy(
  answer: { status: number; statusText: string; retryAfter: string | null | undefined },
  body: unknown,
): Refused {
  const { title = answer.statusText, detail, retryAfterMs } = members(body);
  const { status } = answer;
  const text = `${status} ${title}${typeof detail === 'string' ? `: ${detail}` : ''}`;
  // The body says it exactly, and to each client something else; the header has whole seconds.
  if (typeof retryAfterMs === 'number') return { status, text, retryAfterMs };
  const seconds = Number(answer.retryAfter ?? Number.NaN);
  // All clients are told the same seconds, and should not come back in the same moment.
  return Number.isNaN(seconds)
    ? { status, text }
    : { status, text, retryAfterMs: (seconds + Math.random()) * 1000 };
}
