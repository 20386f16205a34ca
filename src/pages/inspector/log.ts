import { addFirst, element } from './elements.ts';
import { line, localTime } from './text.ts';

const MAX_LINES = 200;

export type Kind = 'opened' | 'sent' | 'received' | 'closed' | 'failed';

/** The list of what happened, newest first. */
export class Log {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  add(kind: Kind, text: string): void {
    const item = element('li', kind);
    item.append(
      element('time', '', localTime(new Date())),
      element('span', 'kind', kind),
      element('span', 'what', line(text)),
    );
    addFirst(this.#list, item, MAX_LINES);
  }
}
