import { WebSocket } from 'ws';
import type { Cancel, Clock } from '../clock.ts';
import { type Refused, readRefusal } from './refused.ts';

/** How a connection ended, or why there was none. */
export type Ending =
  | { readonly how: 'closed'; readonly code: number; readonly reason: string }
  | ({ readonly how: 'refused'; readonly status: number } & Refused)
  | { readonly how: 'failed'; readonly words: string };

export interface Attendance {
  readonly token: string | undefined;
  readonly clock: Clock;
  /** Closes the connection with 1000. */
  readonly signal: AbortSignal;
  onOpen(socket: WebSocket): void;
  onText(text: string): void;
}

/** A server that does not answer a close is left after this long. */
const CLOSE_WAIT_MS = 700;
const HANDSHAKE_MS = 10_000;
const LOST = 1006;

/** One connection from its beginning to its end. Never rejects. */
export function attend(address: URL, { token, clock, signal, onOpen, onText }: Attendance): Promise<Ending> {
  return new Promise((resolve) => {
    const socket = new WebSocket(address, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      handshakeTimeout: HANDSHAKE_MS,
      perMessageDeflate: false,
    });
    let cancelTermination: Cancel = () => {};
    const end = (ending: Ending) => {
      cancelTermination();
      signal.removeEventListener('abort', leave);
      socket.terminate();
      resolve(ending);
    };
    const leave = () => {
      if (socket.readyState === WebSocket.CONNECTING) return end({ how: 'closed', code: LOST, reason: '' });
      socket.close(1000);
      cancelTermination = clock.after(CLOSE_WAIT_MS, () => end({ how: 'closed', code: LOST, reason: '' }));
    };
    signal.addEventListener('abort', leave);

    let failure = '';
    let refused = false;
    let opened = false;
    socket.on('unexpected-response', async (_request, response) => {
      refused = true;
      end({ how: 'refused', status: response.statusCode ?? 0, ...(await readRefusal(response)) });
    });
    socket.on('error', (error) => {
      failure = inWords(error, address);
    });
    socket.on('open', () => {
      opened = true;
      onOpen(socket);
    });
    socket.on('message', (data) => onText(data.toString()));
    socket.on('close', (code, reason) => {
      if (opened) end({ how: 'closed', code, reason: reason.toString() || failure });
      else if (!refused) end({ how: 'failed', words: failure });
    });
  });
}

function inWords(error: Error, address: URL): string {
  const code = 'code' in error ? String(error.code) : '';
  return code === 'ECONNREFUSED' ? `nobody listens at ${address.host}` : error.message || code;
}
