import { Agent, request } from 'node:http';

const EVERY_MS = 100;
/** How often one is asked on a connection of its own. */
const FRESH_EVERY = 10;
const FRESH_TIMEOUT_MS = 2000;

/** Asks a server whether it lives, over and over, and how long it takes to say so. */
export class Livez {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #port: number;
  readonly #ending = new AbortController();
  #askedAt: number | undefined;
  #longestMs = 0;
  #count = 0;
  #fresh = 0;
  #freshAnswered = 0;

  constructor(port: number) {
    this.#port = port;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      if (this.#count++ % FRESH_EVERY === 0) void this.#askFresh();
      this.#askedAt = performance.now();
      const isAnswered = await this.#get(this.#agent);
      if (signal.aborted) return;
      this.#note();
      if (!isAnswered) this.#longestMs = Number.POSITIVE_INFINITY;
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  #note(): void {
    if (this.#askedAt !== undefined)
      this.#longestMs = Math.max(this.#longestMs, performance.now() - this.#askedAt);
    this.#askedAt = undefined;
  }

  async #askFresh(): Promise<void> {
    this.#fresh++;
    if (await this.#get(false, FRESH_TIMEOUT_MS)) this.#freshAnswered++;
  }

  #get(agent: Agent | false, timeoutMs = 0): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request({
        port: this.#port,
        host: '127.0.0.1',
        path: '/livez',
        agent,
        signal: this.#ending.signal,
      });
      if (timeoutMs > 0) setTimeout(() => asked.destroy(), timeoutMs).unref();
      asked.on('error', () => resolve(false));
      asked.on('response', (response) => {
        response.resume();
        response.on('close', () => resolve(response.statusCode === 200));
      });
      asked.end();
    });
  }

  /** The longest answer on a connection that is kept, one that has not come counting as it stands; without an end where it failed. */
  end(): { longestMs: number; fresh: number; freshAnswered: number } {
    this.#note();
    this.#ending.abort();
    this.#agent.destroy();
    return { longestMs: this.#longestMs, fresh: this.#fresh, freshAnswered: this.#freshAnswered };
  }
}
