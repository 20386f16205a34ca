import { backOffMs, comeBackAfterMs } from '../../client/protocol/comeback.ts';
import {
  type CloseReason,
  members,
  parse,
  type Received,
  type Transport,
} from '../../client/protocol/received.ts';
import { askWhyRefused } from './refusal.ts';
import { openWire, type Wire } from './wire.ts';

export type LinkState =
  | { readonly name: 'connecting' }
  | { readonly name: 'open' }
  | { readonly name: 'waiting'; readonly why: string; readonly until: Date }
  | { readonly name: 'closed'; readonly why: string };

export interface LinkListener {
  state(state: LinkState): void;
  received(received: Received): void;
  /** A line for the log. */
  note(kind: 'opened' | 'sent' | 'closed' | 'failed', text: string): void;
}

/** A connection that was open for so long has gone well: the next back-off starts small again. */
const WENT_WELL_MS = 5000;

/**
 * A connection to the room that comes back: after what `closing` and the close codes say, when
 * nothing was heard for too long, and when the network is there again.
 */
export class Link {
  readonly #address: URL;
  readonly #listener: LinkListener;
  #transport: Transport = 'websocket';
  #wire: Wire | undefined;
  #opened = false;
  #openedAtMs = 0;
  #closing: CloseReason | undefined;
  #lastId: string | undefined;
  #failures = 0;
  #retry: number | undefined;
  #silenceMs = 0;
  #silence: number | undefined;

  /** `address` is the room's, over http or https. */
  constructor(address: URL, listener: LinkListener) {
    this.#address = address;
    this.#listener = listener;
    addEventListener('online', () => {
      if (this.#retry !== undefined) this.#connect();
    });
  }

  open(transport: Transport): void {
    this.#drop();
    this.#transport = transport;
    this.#failures = 0;
    this.#connect();
  }

  close(): void {
    this.#drop();
    this.#listener.note('closed', 'here, with 1000');
    this.#listener.state({ name: 'closed', why: 'closed here' });
  }

  send(text: string): void {
    if (!this.#opened || !this.#wire?.send) return;
    this.#wire.send(text);
    this.#listener.note('sent', text);
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#opened = false;
    this.#closing = undefined;
    this.#listener.state({ name: 'connecting' });
    this.#wire = openWire(this.#transport, this.#url(), {
      opened: () => this.#onOpened(),
      received: (text) => this.#onReceived(text),
      ended: (code, reason) => void this.#onEnded(code, reason),
    });
  }

  /** Forgets the connection, and whatever was planned for it. */
  #drop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#retry = undefined;
    this.#wire?.close();
    this.#wire = undefined;
    this.#opened = false;
  }

  #url(): URL {
    const url = new URL(this.#address);
    if (this.#lastId !== undefined) url.searchParams.set('since', this.#lastId);
    return url;
  }

  #onOpened(): void {
    this.#opened = true;
    this.#openedAtMs = performance.now();
    this.#listener.note('opened', `${this.#transport} ${this.#address.pathname}`);
    this.#listener.state({ name: 'open' });
  }

  #onReceived(text: string): void {
    const received = parse(text);
    if (!received) {
      this.#listener.note('failed', `received what is no JSON object: ${text}`);
      return;
    }
    if (received.id !== undefined) this.#lastId = received.id;
    // What the contract promises for the data of these two.
    if (received.event === 'closing') this.#closing = received.data as CloseReason;
    if (received.event === 'hello') this.#silenceMs = 2500 * Number(members(received.data).heartbeatSeconds);
    this.#listenForSilence();
    this.#listener.received(received);
  }

  /**
   * The server says something at least every `heartbeatSeconds`; after two and a half times that
   * the connection is dead, which a browser would notice much later or never.
   */
  #listenForSilence(): void {
    clearTimeout(this.#silence);
    if (!(this.#silenceMs > 0)) return;
    this.#silence = setTimeout(() => {
      this.#wire?.close();
      void this.#onEnded(1006, `nothing heard for ${this.#silenceMs / 1000} s`);
    }, this.#silenceMs);
  }

  async #onEnded(code: number, reason: string): Promise<void> {
    clearTimeout(this.#silence);
    const wire = this.#wire;
    const closing = this.#closing;
    const why = closing ? `${closing.reason} (${closing.code})` : `${reason || 'connection lost'} (${code})`;
    if (this.#opened) {
      this.#opened = false;
      this.#listener.note(
        'closed',
        closing ? `with ${closing.code}: ${closing.reason}` : `with ${code} ${reason}`,
      );
      if (performance.now() - this.#openedAtMs >= WENT_WELL_MS) this.#failures = 0;
      this.#comeBack(why, comeBackAfterMs(code, closing, this.#failures));
      return;
    }
    const refusal = await askWhyRefused(this.#url());
    if (this.#wire !== wire) return; // closed or opened anew by hand meanwhile
    this.#listener.note('failed', refusal?.words ?? `no connection (${code})`);
    const leastMs = backOffMs(this.#failures);
    if (!refusal) this.#comeBack('no connection', leastMs);
    else if (refusal.retryAfterMs === undefined) this.#comeBack(refusal.words, undefined);
    else this.#comeBack(refusal.words, Math.max(refusal.retryAfterMs, leastMs));
  }

  #comeBack(why: string, waitMs: number | undefined): void {
    this.#wire = undefined;
    if (waitMs === undefined) {
      this.#listener.state({ name: 'closed', why });
      return;
    }
    this.#failures += 1;
    this.#listener.state({ name: 'waiting', why, until: new Date(Date.now() + waitMs) });
    this.#retry = setTimeout(() => this.#connect(), waitMs);
  }
}
