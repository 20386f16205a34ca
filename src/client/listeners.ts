import type { ClientEvents } from './events.ts';

/** Called with every event of a client. */
type Listener = (name: keyof ClientEvents, value: unknown) => void;

/** The functions that listen to the events of a client. */
export class Listeners {
  readonly #listeners = new Set<Listener>();

  /** Returns what removes it. */
  add(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A listener that throws keeps the event from no other. */
  emit<Name extends keyof ClientEvents>(name: Name, value: ClientEvents[Name]): void {
    for (const listener of this.#listeners) {
      try {
        listener(name, value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
