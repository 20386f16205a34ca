import { EventSource } from 'eventsource';
import { type ClientOptions, WebSocket } from 'ws';

/** An object that the server sent: an event or a reply. */
export interface Received {
  readonly id?: string;
  readonly room?: string;
  readonly event?: string;
  readonly time?: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
  readonly data?: any;
  readonly tick?: { readonly due: string; readonly previous: string | null };
  readonly replay?: true;
  readonly reply?: string | null;
  readonly ref?: unknown;
  readonly error?: { readonly status: number; readonly title: string; readonly detail: string };
}

/** The objects that a client receives in a room, in order. */
class Guest {
  readonly #heard: Received[] = [];
  readonly #looking = new Set<() => void>();

  protected hear(text: string): void {
    this.#heard.push(JSON.parse(text));
    for (const look of [...this.#looking]) look();
  }

  /** The first that fits of those that came and were not asked for yet, or will come. */
  next(fits: (received: Received) => boolean = () => true): Promise<Received> {
    return new Promise((resolve) => {
      const look = () => {
        const index = this.#heard.findIndex(fits);
        if (index === -1) return this.#looking.add(look);
        this.#looking.delete(look);
        resolve(...(this.#heard.splice(index, 1) as [Received])); // there is one at that index
      };
      look();
    });
  }

  event(name: string): Promise<Received> {
    return this.next(({ event }) => event === name);
  }

  /** What came and was not asked for. */
  get rest(): readonly Received[] {
    return this.#heard;
  }
}

/** A client over WebSocket. */
export class SocketGuest extends Guest {
  readonly socket: WebSocket;
  /** The code and reason it was closed with, once it was. */
  readonly closed: Promise<{ code: number; reason: string }>;
  pings = 0;
  #ref = 0;

  constructor(url: string, { protocols = [], ...options }: ClientOptions & { protocols?: string[] } = {}) {
    super();
    this.socket = new WebSocket(url.replace(/^http/, 'ws'), protocols, options);
    this.socket.on('message', (data) => this.hear(data.toString()));
    this.socket.on('ping', () => this.pings++);
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) =>
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
    );
  }

  say(line: unknown): void {
    this.socket.send(typeof line === 'string' ? line : JSON.stringify(line));
  }

  /** Sends a line and resolves to its reply. */
  ask(line: object): Promise<Received> {
    const ref = `ref-${this.#ref++}`;
    this.say({ ref, ...line });
    return this.next((received) => received.ref === ref);
  }

  async leave(): Promise<void> {
    this.socket.close();
    await this.closed;
  }
}

/** A client over SSE. */
export class StreamGuest extends Guest {
  readonly source: EventSource;
  readonly ids: string[] = [];
  /** The status of the answer that made it give up. */
  readonly failed: Promise<number | undefined>;

  constructor(url: string, headers: Record<string, string> = {}) {
    super();
    this.source = new EventSource(url, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
    });
    this.source.onmessage = ({ data, lastEventId }) => {
      this.ids.push(lastEventId);
      this.hear(data);
    };
    this.failed = new Promise((resolve) => {
      this.source.onerror = ({ code }) => {
        if (this.source.readyState === this.source.CLOSED) resolve(code);
      };
    });
  }

  leave(): void {
    this.source.close();
  }
}
