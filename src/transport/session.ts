import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { type MessageLimits, MessageRate } from '../access/message-rate.ts';
import { CLOSE, type CloseReason } from '../hub/close-reason.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal } from '../hub/refusal.ts';
import type { ActionTable } from './action-table.ts';

/** How many lines of one client may wait for the one before them, until its socket is paused. */
const MOST_WAITING = 16;

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
  websocket: WebSocket,
  socket: Duplex,
  connection: Connection,
  joined: Promise<void>,
  parts: SessionParts,
): void {
  const waiting: { line: string; receivedAtMs: number }[] = [];
  let working = true;
  let performed = 0;
  /** Made with the first line: most clients only listen. */
  let rate: MessageRate | undefined;

  const isInTime = (line: string): boolean => {
    rate ??= new MessageRate(parts.limits);
    const verdict = rate.take();
    if (verdict === 'close') parts.close(connection, CLOSE.tooMany);
    if (verdict === 'refused') parts.actions.refuse(connection, line, tooFast(rate.waitMs));
    return verdict === 'taken';
  };

  const work = async () => {
    for (let next = waiting.shift(); next && !connection.closed; next = waiting.shift()) {
      if (websocket.isPaused && waiting.length < MOST_WAITING / 2) websocket.resume();
      await parts.actions.perform(connection, next.line, next.receivedAtMs);
      // Replies leave at the end of the turn; one that is never over would collect them without end.
      if (++performed % MOST_WAITING === 0) await nextTurn();
      while (isOwed(connection, socket)) await taken(socket);
    }
    working = false;
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
    const line = data.toString();
    if (!isInTime(line)) return;
    waiting.push({ line, receivedAtMs: parts.now() });
    if (waiting.length >= MOST_WAITING) websocket.pause();
    if (!working) {
      working = true;
      void work();
    }
  });
  websocket.on('ping', () => parts.onSeen(connection));
  websocket.on('pong', () => parts.onPong(connection));
  // The library closes with the right code on a protocol fault; the event that follows is `close`.
  websocket.on('error', () => {});
  websocket.on('close', () => parts.onGone(connection));
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
