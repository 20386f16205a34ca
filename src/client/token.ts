import type { Cancel, Clock } from '../clock.ts';
import { members, type Received } from './messages.ts';

/** A token, or what gives one. */
export type TokenOption = string | (() => string | Promise<string>) | undefined;

/** A token is renewed when this part of its time is over. */
const RENEW_AFTER = 0.8;

/** The token of a listener: asked for before each connection, and before it runs out. */
export class Token {
  readonly #option: TokenOption;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #ask: (action: object) => Promise<Received>;
  #token: string | undefined;
  #cancel: Cancel = () => {};

  /** `ask`: sends an action over the open connection. */
  constructor(option: TokenOption, clock: Pick<Clock, 'after'>, ask: (action: object) => Promise<Received>) {
    this.#option = option;
    this.#clock = clock;
    this.#ask = ask;
  }

  async next(): Promise<string | undefined> {
    const option = this.#option;
    this.#token = typeof option === 'function' ? await option() : option;
    return this.#token;
  }

  /**
   * Gives the server the token on the open connection, which says when it runs out, and a newer one before that.
   * Rejects where the server does not take it.
   */
  async renew(onError: (error: unknown) => void): Promise<void> {
    if (typeof this.#option !== 'function') return;
    const { data, time = '' } = await this.#ask({ action: 'token', data: { token: this.#token } });
    const leftMs = Date.parse(String(members(data).expiresAt)) - Date.parse(time);
    if (leftMs > 0)
      this.#cancel = this.#clock.after(leftMs * RENEW_AFTER, () => {
        this.next()
          .then(() => this.renew(onError))
          .catch(onError);
      });
  }

  /** The connection was lost. */
  lost(): void {
    this.#cancel();
  }
}
