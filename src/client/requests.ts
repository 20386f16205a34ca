import type { Clock } from '../clock.ts';
import type { Received } from './messages.ts';

/** What was asked for was not done. */
export class BelfryError extends Error {
  /** As of HTTP. 503: the connection was lost before the answer came; 504: there was no answer in time. */
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** How long a request may take, the wait for a connection included. */
const REQUEST_MS = 10_000;

interface Request {
  /** Not sent yet, since there is no connection. */
  text: string | undefined;
  resolve(reply: Received): void;
  fail(status: number, text: string): void;
}

/** What was sent over a WebSocket and is not answered yet, or waits for a connection. */
export class Requests {
  readonly #clock: Clock;
  readonly #send: (text: string) => unknown;
  readonly #waiting = new Map<unknown, Request>();
  #count = 0;

  /** `send` returns `undefined` where there is no connection. */
  constructor(clock: Clock, send: (text: string) => unknown) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Sends an action, now or once there is a connection. Rejects with a `BelfryError`. */
  async ask(action: object): Promise<Received> {
    const ref = ++this.#count;
    let cancel = () => {};
    try {
      return await new Promise((resolve, reject) => {
        const fail = (status: number, text: string) => reject(new BelfryError(status, text));
        cancel = this.#clock.after(REQUEST_MS, () => fail(504, 'there was no answer'));
        this.#waiting.set(ref, { text: JSON.stringify({ ...action, ref }), resolve, fail });
        this.flush();
      });
    } finally {
      cancel();
      this.#waiting.delete(ref);
    }
  }

  /** Sends what waits for a connection. */
  flush(): void {
    for (const request of this.#waiting.values()) {
      if (request.text && this.#send(request.text)) request.text = undefined;
    }
  }

  answered(reply: Received): void {
    const request = this.#waiting.get(reply.ref);
    if (reply.error) request?.fail(reply.error.status, reply.error.detail);
    else request?.resolve(reply);
  }

  /** The connection was lost: nobody knows whether what was sent was done. `isOver`: there will be no other. */
  lost(isOver: boolean): void {
    for (const { text, fail } of this.#waiting.values()) {
      if (isOver || !text) fail(503, 'the connection was lost');
    }
  }
}
