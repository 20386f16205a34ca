import type { RoomItem } from './messages.ts';

/** Above it the oldest tick is left out, or messages, which are reported as a gap. */
const MAX_ITEMS = 1000;

/** What one `for await` has not taken yet. */
export class EventQueue {
  readonly #items: RoomItem[] = [];
  #isOver = false;
  /** Called when there is something to take. */
  #wake = () => {};

  push(item: RoomItem): void {
    const items = this.#items;
    items.push(item);
    if (items.length > MAX_ITEMS) {
      const tick = items.findIndex((each) => 'tick' in each);
      // The two oldest messages make room for the gap.
      if (tick < 0) items.splice(0, 2, { event: 'gap', room: items[0]?.room });
      else items.splice(tick, 1);
    }
    this.#wake();
  }

  /** What is in the queue can still be taken. */
  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  async *taken(): AsyncGenerator<RoomItem, void> {
    for (;;) {
      const item = this.#items.shift();
      if (item) yield item;
      else if (this.#isOver) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
