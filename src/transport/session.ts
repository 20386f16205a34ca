import type { WebSocket } from 'ws';
import { CLOSE, type CloseReason } from '../hub/close-reason.ts';
import type { Connection } from '../hub/connection.ts';
import type { ActionTable } from './actions.ts';

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
}

/**
 * Listens to an open WebSocket: its lines are acted on one after the other, the first when
 * `joined` is settled. A client that sends faster than it is answered is not read from.
 */
export function listen(
  websocket: WebSocket,
  connection: Connection,
  joined: Promise<void>,
  parts: SessionParts,
): void {
  const waiting: { line: string; receivedAtMs: number }[] = [];
  let working = true;

  const work = async () => {
    for (let next = waiting.shift(); next && !connection.closed; next = waiting.shift()) {
      if (websocket.isPaused && waiting.length < MOST_WAITING / 2) websocket.resume();
      await parts.actions.perform(connection, next.line, next.receivedAtMs);
    }
    working = false;
  };

  websocket.on('message', (data: Buffer, isBinary: boolean) => {
    parts.onSeen(connection);
    if (connection.closed) return;
    if (isBinary) {
      parts.close(connection, CLOSE.unsupported);
      return;
    }
    waiting.push({ line: data.toString(), receivedAtMs: parts.now() });
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
