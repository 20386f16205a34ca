import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessageLimits, MessageRate } from '../access/message-rate.ts';
import { CLOSE, type CloseReason, closeReason } from '../hub/close-reason.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal } from '../hub/refusal.ts';
import type { ActionTable } from './action-table.ts';
import type { ToldWebSocket } from './websocket.ts';

/** How many lines of one client may wait for the one before them, until its socket is paused. */
const MOST_WAITING = 16;

/** One line of the client, in the order in which they came. */
interface Line {
  readonly text: string;
  readonly receivedAtMs: number;
  /** Set where it is not to be acted on. */
  readonly refusal: Refusal | undefined;
}

export interface SessionParts {
  readonly actions: ActionTable;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly onSeen: (connection: Connection) => void;
  readonly onPong: (connection: Connection) => void;
  readonly onGone: (connection: Connection) => void;
  readonly close: (connection: Connection, reason: CloseReason) => void;
  readonly limits: MessageLimits;
}

/**
 * Listens to an open WebSocket: its lines are acted on one after the other, the first when
 * `joined` is settled. A client that sends faster than it is answered, or than it reads its answers,
 * is not read from meanwhile.
 */
export function listen(
  websocket: ToldWebSocket,
  socket: Duplex,
  connection: Connection,
  joined: Promise<void>,
  parts: SessionParts,
): void {
  const waiting: Line[] = [];
  let waitingBytes = 0;
  let working = true;
  /** Whether the peer has said goodbye: its lines from before are still acted on. */
  let leaving = false;
  let performed = 0;
  /** Made with the first line: most clients only listen. */
  let rate: MessageRate | undefined;

  /** What is wrong with a line that came too soon; ends the connection where it has gone too far. */
  const tooSoon = (): Refusal | undefined => {
    rate ??= new MessageRate(parts.limits);
    const verdict = rate.take();
    if (verdict === 'close') parts.close(connection, CLOSE.tooMany);
    return verdict === 'taken' ? undefined : tooFast(rate.waitMs);
  };

  const gone = () => parts.onGone(connection);

  const perform = async ({ text, receivedAtMs, refusal }: Line) => {
    if (refusal) parts.actions.refuse(connection, text, refusal);
    else await parts.actions.perform(connection, text, receivedAtMs);
  };

  const work = async () => {
    for (let next = waiting.shift(); next && !connection.closed; next = waiting.shift()) {
      waitingBytes -= next.text.length;
      await perform(next);
      // Replies leave at the end of the turn; one that is never over would collect them without end.
      if (++performed % MOST_WAITING === 0) await nextTurn();
      while (isOwed(connection, socket)) {
        connection.outbox.waitForPeer(waitingBytes + next.text.length);
        await taken(socket);
      }
      connection.outbox.waitForPeer(0);
      if (waiting.length < MOST_WAITING / 2) websocket.resume();
    }
    working = false;
    if (leaving) gone();
    // Also where it was closed: the peer's answer to the close frame is still to be read.
    websocket.resume();
  };

  websocket.on('message', (data: Buffer, isBinary: boolean) => {
    parts.onSeen(connection);
    if (connection.closed) return;
    if (isBinary) {
      parts.close(connection, CLOSE.unsupported);
      return;
    }
    const refusal = tooSoon();
    if (connection.closed) return;
    const text = data.toString();
    waiting.push({ text, receivedAtMs: parts.now(), refusal });
    waitingBytes += text.length;
    if (waiting.length >= MOST_WAITING || isOwed(connection, socket)) websocket.pause();
    if (!working) {
      working = true;
      void work();
    }
  });
  // What the library finds fault with it would close without a word.
  websocket.onFault = (code) => parts.close(connection, closeReason(code));
  websocket.on('ping', () => parts.onSeen(connection));
  websocket.on('pong', () => parts.onPong(connection));
  // What follows it is `close`.
  websocket.on('error', () => {});
  websocket.onClosing = () => {
    connection.outbox.discard();
    leaving = true;
    if (!working) gone();
  };
  websocket.on('close', gone);
  void joined.then(work);
}

function tooFast(waitMs: number): Refusal {
  return new Refusal(429, `too many messages (limits.messagesPerSecond): wait ${Math.ceil(waitMs)} ms`);
}

/** Whether the peer has yet to read what it was sent. */
function isOwed(connection: Connection, socket: Duplex): boolean {
  const isOpen = socket.writable && !connection.closed;
  return isOpen && (socket.writableNeedDrain || connection.outbox.isBehind);
}

/** Resolves when the operating system has taken what was written, or the socket is gone. */
function taken(socket: Duplex): Promise<void> {
  return new Promise((resolve) => socket.write('', () => resolve()));
}
