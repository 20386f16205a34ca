import { type Ending, NO_CLOSE_FRAME, type OpenWire, refusedBy, type WireListener } from './wire.ts';

/** How long the request may take that finds out why there was no connection. */
const QUESTION_MS = 5000;

/** The part of the standard WebSocket that is used: that of a browser, or of the package `ws`. */
export interface WebSocketLike {
  onopen: Handler<unknown>;
  onmessage: Handler<{ readonly data: unknown }>;
  onerror: Handler<unknown>;
  onclose: Handler<{ readonly code: number; readonly reason: string }>;
  send(text: string): void;
  close(code?: number): void;
  /** Of `ws`: a close without a handshake. */
  terminate?(): void;
}

/** A method, so that the handlers of each WebSocket, whose events have more members, fit its type. */
type Handler<Event> = { handle(event: Event): void }['handle'] | null;

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** Gives the token of an attempt to connect; `undefined`: there is none. */
export type TokenSource = () => Promise<string | undefined>;

const NO_TOKEN: TokenSource = async () => undefined;

/**
 * WebSockets of the platform. A browser can send no headers with them, so that the token is a subprotocol.
 * Without a WebSocket every attempt fails.
 */
export function webSocketWire(
  token = NO_TOKEN,
  // Node 20 has none of its own; the attempt fails then.
  WebSocket = (globalThis as unknown as { WebSocket: WebSocketConstructor }).WebSocket,
): OpenWire {
  return (address, listener) => {
    let socket: WebSocketLike | undefined;
    let onClosed = () => {};
    const dropped = run(listener, async (signal) => {
      const secret = await token();
      let isOpen = false;
      const { code, reason } = await new Promise<{ code: number; reason: string }>((resolve) => {
        if (signal.aborted) return;
        const protocols = secret === undefined ? undefined : ['belfry', `bearer.${secret}`];
        socket = new WebSocket(address.href.replace('http', 'ws'), protocols);
        socket.onopen = () => {
          isOpen = true;
          if (!signal.aborted) listener.opened();
        };
        socket.onmessage = ({ data }) => {
          if (!signal.aborted) listener.received(String(data));
        };
        socket.onerror = () => {};
        socket.onclose = (closed) => {
          onClosed();
          if (!signal.aborted) resolve(closed);
        };
      });
      return isOpen ? { how: 'closed', code, reason } : whyNot(address, secret);
    });
    const drop = (code: number) => {
      dropped.abort();
      socket?.close(code);
    };
    return {
      async send(text) {
        socket?.send(text);
      },
      close: () =>
        new Promise((resolve) => {
          onClosed = resolve;
          drop(1000);
        }),
      terminate() {
        drop(1000);
        socket?.terminate?.();
        onClosed();
      },
    };
  };
}

/** Server-sent events by `fetch`, which unlike an EventSource can send a token and see a refusal. */
export function streamWire(token = NO_TOKEN): OpenWire {
  return (address, listener) => {
    const dropped = run(listener, async (signal) => {
      const answer = await ask(address, 'text/event-stream', await token(), signal);
      if (answer.status !== 200 || !answer.body) return refusalOf(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      let data = '';
      // A stream that breaks has ended.
      const read = () => reader.read().catch(() => ({ value: undefined }));
      for (let { value } = await read(); value !== undefined; { value } = await read()) {
        const lines = (rest + value).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (line.startsWith('data:')) data += line.slice(5);
          else if (!line && data && !signal.aborted) {
            listener.received(data);
            data = '';
          }
        }
      }
      return { how: 'closed', code: NO_CLOSE_FRAME, reason: '' };
    });
    const terminate = () => dropped.abort();
    return { close: async () => terminate(), terminate };
  };
}

/** Reports how a connection ends, unless it was dropped before, which aborts the signal. */
function run(listener: WireListener, connect: (signal: AbortSignal) => Promise<Ending>): AbortController {
  const dropped = new AbortController();
  const { signal } = dropped;
  connect(signal)
    .catch((error): Ending => ({ how: 'failed', text: String(error) }))
    .then((ending) => signal.aborted || listener.ended(ending));
  return dropped;
}

/**
 * Why a WebSocket was refused: a browser does not show the answer, so the same address is read as JSON, which
 * shows one room. `failed` where there is no answer, or it is open over HTTP.
 */
async function whyNot(address: URL, token: string | undefined): Promise<Ending> {
  const url = new URL(address);
  const room = url.searchParams.get('room');
  if (room) url.searchParams.set('room', room);
  const answer = await ask(url, 'application/json', token, AbortSignal.timeout(QUESTION_MS));
  return answer.ok ? { how: 'failed', text: '', isBlocked: true } : refusalOf(answer);
}

/** A request by `fetch`. */
function ask(url: URL, accept: string, token: string | undefined, signal: AbortSignal): Promise<Response> {
  const headers = { Accept: accept, ...(token !== undefined && { Authorization: `Bearer ${token}` }) };
  return fetch(url, { headers, signal });
}

async function refusalOf(answer: Response): Promise<Ending> {
  const { status, statusText, headers } = answer;
  const body: unknown = await answer.json().catch(() => undefined);
  return {
    how: 'refused',
    ...refusedBy({ status, statusText, retryAfter: headers.get('Retry-After') }, body),
  };
}
