/** More than a server replays at once in most cases; about 200 KB. */
const MAX_IDS = 4096;

/** The ids of the newest messages, to tell what is sent again. */
export class RecentIds {
  readonly #ids = new Set<string>();

  /** Adds an id; false: it is among them already. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    for (const oldest of this.#ids) {
      if (this.#ids.size <= MAX_IDS) break;
      this.#ids.delete(oldest);
    }
    return true;
  }
}
