/** What came in so far, and a way to wait for what is still to come. */
export class Collected<Item> {
  readonly all: Item[] = [];
  readonly #waiting = new Set<() => void>();

  push(item: Item): void {
    this.all.push(item);
    for (const look of [...this.#waiting]) look();
  }

  /** The first item that fits, whether it is here already or comes within `timeoutMs`. */
  find(fits: (item: Item) => boolean, timeoutMs = 10_000): Promise<Item> {
    return this.filled(() => this.all.find(fits), timeoutMs);
  }

  /** The first `count` items that fit. */
  several(count: number, fits: (item: Item) => boolean = () => true, timeoutMs = 10_000): Promise<Item[]> {
    return this.filled(() => {
      const found = this.all.filter(fits);
      return found.length >= count ? found.slice(0, count) : undefined;
    }, timeoutMs);
  }

  /** What `look` finds, once it finds something. */
  filled<Found>(look: () => Found | undefined, timeoutMs: number): Promise<Found> {
    return new Promise((resolve, reject) => {
      const attempt = () => {
        const found = look();
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(attempt);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(attempt);
        reject(new Error(`waited ${timeoutMs} ms in vain; there was:\n${show(this.all)}`));
      }, timeoutMs);
      this.#waiting.add(attempt);
      attempt();
    });
  }
}

function show(items: readonly unknown[]): string {
  return items.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join('\n');
}
