import { nextTurn } from './slices.ts';

/** After so many appends everything else gets its turn. */
const ROUNDS_A_TURN = 64;

/**
 * Everything that acts on the hub, in one order. Publications that came in the same turn go to the
 * log as one append, and what follows them waits until they are delivered: so a command comes
 * cleanly before or after each of them, and no sender's messages change places.
 */
export class Inbox<Publication, Command> {
  readonly #publish: (publications: readonly Publication[]) => Promise<void>;
  readonly #perform: (command: Command) => Promise<void>;
  #waiting: ({ publication: Publication } | { command: Command })[] = [];
  #working = false;
  #done = 0;

  /** Neither callback may throw or reject: answers travel inside what is handed in. */
  constructor(options: {
    publish: (publications: readonly Publication[]) => Promise<void>;
    perform: (command: Command) => Promise<void>;
  }) {
    this.#publish = options.publish;
    this.#perform = options.perform;
  }

  publish(publication: Publication): void {
    this.#put({ publication });
  }

  command(command: Command): void {
    this.#put({ command });
  }

  #put(item: { publication: Publication } | { command: Command }): void {
    this.#waiting.push(item);
    if (this.#working) return;
    this.#working = true;
    queueMicrotask(() => void this.#work());
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      // A program that publishes in a loop, and awaits each answer, would keep all else waiting.
      if (++this.#done % ROUNDS_A_TURN === 0) await nextTurn();
      const items = this.#waiting;
      this.#waiting = [];
      let publications: Publication[] = [];
      for (const item of items) {
        if ('publication' in item) {
          publications.push(item.publication);
          continue;
        }
        if (publications.length > 0) await this.#publish(publications);
        publications = [];
        await this.#perform(item.command);
      }
      if (publications.length > 0) await this.#publish(publications);
    }
    this.#working = false;
  }
}
