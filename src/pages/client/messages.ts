import { members, type Received } from '../../client/messages.ts';
import { addFirst, element } from './elements.ts';
import { localTime, readable } from './text.ts';

const MAX_MESSAGES = 100;

/** The room's messages, newest first, each once: what is replayed after a gap may be here already. */
export class Messages {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  add({ id, room, event, time, data, from, key, until }: Received): void {
    if (id !== undefined && this.#has(id)) return;
    const replaced = event === 'withdrawn' ? members(data).key : key;
    if (replaced !== undefined) this.#remove(`${room} ${replaced}`);
    if (event === 'withdrawn' || (until !== undefined && Date.parse(until) <= Date.now())) return;
    const item = element('li', '');
    if (id !== undefined) item.dataset.id = id;
    if (key !== undefined) item.dataset.key = `${room} ${key}`;
    const who = from ? (from.user ?? from.device ?? from.connection) : 'server';
    const head = element('p', 'head');
    head.append(element('time', '', localTime(time ? new Date(time) : new Date())));
    head.append(element('span', 'who', who));
    if (event !== 'message') head.append(element('span', 'event', event));
    item.append(head, element('p', 'body', readable(data)));
    addFirst(this.#list, item, MAX_MESSAGES);
  }

  /** A retained message is replaced by the next with its key. */
  #remove(key: string): void {
    for (const item of Array.from(this.#list.children)) {
      if (item instanceof HTMLElement && item.dataset.key === key) item.remove();
    }
  }

  #has(id: string): boolean {
    return Array.from(this.#list.children).some(
      (item) => item instanceof HTMLElement && item.dataset.id === id,
    );
  }
}
