import { members, type Received } from '../../client/messages.ts';
import { addFirst, element } from './elements.ts';
import { localTime, readable } from './text.ts';

const MAX_MESSAGES = 100;

/** How often retained messages are looked at that may have ended. */
const LOOK_MS = 1000;

/**
 * The room's messages, newest first, each once: what is replayed after a gap may be here already. A retained
 * message leaves when it is over, by the server's clock: the clock of a wall display may be wrong by hours.
 */
export class Messages {
  readonly #list: HTMLElement;
  /** How much the server's clock is ahead of the one here. */
  #aheadMs = 0;

  constructor(list: HTMLElement) {
    this.#list = list;
    setInterval(() => this.#removeEnded(), LOOK_MS);
  }

  /** To be called with the `time` of what has just been sent, RFC 3339. */
  setTime(time: string): void {
    this.#aheadMs = Date.parse(time) - Date.now();
  }

  add({ id, room, event, time, data, from, key, until }: Received): void {
    if (id !== undefined && this.#has(id)) return;
    const replaced = event === 'withdrawn' ? members(data).key : key;
    if (replaced !== undefined) this.#remove(`${room} ${replaced}`);
    if (event === 'withdrawn' || (until !== undefined && this.#isPast(until))) return;
    const item = element('li', '');
    if (id !== undefined) item.dataset.id = id;
    if (until !== undefined) item.dataset.until = until;
    if (key !== undefined) item.dataset.key = `${room} ${key}`;
    const who = from ? (from.user ?? from.device ?? from.connection ?? 'client') : 'server';
    const head = element('p', 'head');
    head.append(element('time', '', localTime(time ? new Date(time) : new Date())));
    head.append(element('span', 'who', who));
    if (event !== 'message') head.append(element('span', 'event', event));
    item.append(head, element('p', 'body', readable(data)));
    addFirst(this.#list, item, MAX_MESSAGES);
  }

  /** A retained message is replaced by the next with its key. */
  #remove(key: string): void {
    for (const item of this.#items) if (item.dataset.key === key) item.remove();
  }

  #removeEnded(): void {
    for (const item of this.#items) {
      const { until } = item.dataset;
      if (until !== undefined && this.#isPast(until)) item.remove();
    }
  }

  #isPast(until: string): boolean {
    return Date.parse(until) <= Date.now() + this.#aheadMs;
  }

  #has(id: string): boolean {
    return this.#items.some((item) => item.dataset.id === id);
  }

  get #items(): HTMLElement[] {
    return Array.from(this.#list.children).filter((item) => item instanceof HTMLElement);
  }
}
