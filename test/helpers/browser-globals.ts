import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';

/** What the page's client uses of a browser and Node 20 has not, over `ws` and `node:http`. */

/** As a browser's: a connection that fails has an event and throws nothing. */
class BrowserWebSocket extends WebSocket {
  constructor(address: URL) {
    super(address, { perMessageDeflate: false });
    this.on('error', () => {});
  }
}

/** As much of an EventSource as a client needs that reconnects by itself: it never does so itself. */
class BrowserEventSource {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  readonly #request: ClientRequest;
  #isOver = false;
  #rest = '';

  constructor(address: URL) {
    const headers = { accept: 'text/event-stream' };
    this.#request = get(address, { headers, agent: false }, (response) => this.#onResponse(response));
    this.#request.on('error', () => this.#fail());
  }

  close(): void {
    this.#isOver = true;
    this.#request.destroy();
  }

  #onResponse(response: IncomingMessage): void {
    response.on('error', () => {});
    response.on('close', () => this.#fail());
    const type = response.headers['content-type'] ?? '';
    if (response.statusCode !== 200 || !type.startsWith('text/event-stream')) {
      this.#fail();
      return;
    }
    this.onopen?.();
    response.setEncoding('utf8').on('data', (text: string) => this.#onText(text));
  }

  #onText(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const lines = block.split('\n').filter((line) => line.startsWith('data: '));
      if (lines.length === 0 || this.#isOver) continue;
      this.onmessage?.({ data: lines.map((line) => line.slice('data: '.length)).join('\n') });
    }
  }

  #fail(): void {
    if (this.#isOver) return;
    this.close();
    this.onerror?.();
  }
}

/** Gives this process the globals of a browser; returns what takes them away again. */
export function becomeBrowser(): () => void {
  const globals = { WebSocket: BrowserWebSocket, EventSource: BrowserEventSource };
  const names = Object.keys(globals);
  const before = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  return () => {
    for (const [index, name] of names.entries()) {
      const original = before[index];
      if (original) Object.defineProperty(globalThis, name, original);
      else Reflect.deleteProperty(globalThis, name);
    }
  };
}
