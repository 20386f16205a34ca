import type { Received } from '../../client/messages.ts';
import { addFirst, element } from './elements.ts';
import { localTime, readable } from './text.ts';

const MAX_MESSAGES = 100;

/** The room's messages, newest first, each once: what is replayed after a gap may be here already. */
export class Messages {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  add({ id, event, time, data, from }: Received): void {
    if (id !== undefined && this.#has(id)) return;
    const item = element('li', '');
    if (id !== undefined) item.dataset.id = id;
    const who = from ? (from.user ?? from.device ?? from.connection) : 'server';
    const head = element('p', 'head');
    head.append(element('time', '', localTime(time ? new Date(time) : new Date())));
    head.append(element('span', 'who', who));
    if (event !== 'message') head.append(element('span', 'event', event));
    item.append(head, element('p', 'body', readable(data)));
    addFirst(this.#list, item, MAX_MESSAGES);
  }

  #has(id: string): boolean {
    return Array.from(this.#list.children).some(
      (item) => item instanceof HTMLElement && item.dataset.id === id,
    );
  }
}
