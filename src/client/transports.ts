import type { Clock } from '../clock.ts';
import type { Transport } from '../protocol/event.ts';
import type { OpenWire } from './wire.ts';
import { streamWire, type TokenSource, type WebSocketConstructor, webSocketWire } from './wires.ts';

export interface TransportOptions {
  /** Default `auto`: WebSocket, and server-sent events where no WebSocket gets through or there is none. */
  readonly transport?: Transport | 'auto' | undefined;
  /** The WebSocket to use; default: that of the platform. Node 20 has none, the package `ws` has one that fits. */
  readonly WebSocket?: WebSocketConstructor | undefined;
}

/** So many WebSockets that do not open, while HTTP is answered, lead to server-sent events. */
const MAX_BLOCKED = 2;
/** For so long, until a WebSocket is tried beside the stream. */
const STREAM_MS = 300_000;

/** Which transport the next connection uses. */
export class Transports {
  /** Of the connection that is open, or the attempt that was made last. */
  current: Transport = 'websocket';
  readonly #clock: Clock;
  readonly #socket: OpenWire;
  readonly #stream: OpenWire;
  readonly #chosen: string;
  #blocked = 0;
  #blockedAtMs = 0;
  #address: URL | undefined;

  constructor(clock: Clock, token: TokenSource, { transport = 'auto', WebSocket }: TransportOptions) {
    this.#clock = clock;
    this.#socket = webSocketWire(token, WebSocket);
    this.#stream = streamWire(token);
    this.#chosen = transport === 'auto' && !WebSocket && !('WebSocket' in globalThis) ? 'sse' : transport;
  }

  readonly open: OpenWire = (address, listener) => {
    this.#address = address;
    const isStream = this.#chosen === 'auto' ? this.#blocked >= MAX_BLOCKED : this.#chosen === 'sse';
    this.current = isStream ? 'sse' : 'websocket';
    return (isStream ? this.#stream : this.#socket)(address, listener);
  };

  /** A WebSocket did not open, although HTTP is answered. */
  blocked(): void {
    this.#blocked += 1;
    this.#blockedAtMs = this.#clock.monotonic();
  }

  /** Tries a WebSocket beside the stream, where that is due; `onOpened`: it gets through, so connect again. */
  look(onOpened: () => void, dueMs = STREAM_MS): void {
    const isDue = this.#clock.monotonic() - this.#blockedAtMs >= dueMs;
    if (this.#blocked < MAX_BLOCKED || !isDue || !this.#address) return;
    this.blocked();
    const wire = this.#socket(this.#address, {
      opened: () => {
        wire.terminate();
        this.#blocked = 0;
        onOpened();
      },
      received() {},
      pinged() {},
      ended() {},
    });
  }
}
