import { ChainCheck } from '../../client/chain-check.ts';
import { members, type Received, type Tick } from '../../client/messages.ts';
import { reasonWords } from '../../client/status-text.ts';
import { element } from './elements.ts';
import { lateness, localTime, readable } from './text.ts';

/** Above it the schedule whose last event is the oldest is removed. */
const MAX_SCHEDULES = 100;

/** The newest tick of each schedule, and whether all before it were seen. */
export class Ticks {
  readonly #list: HTMLElement;
  readonly #cards = new Map<string, Card>();

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  /** Shows a tick; false: its chain is broken. */
  tick(tick: Tick, received: Received): boolean {
    return this.#card(tick.schedule).tick(tick, received);
  }

  status(data: unknown): void {
    const { schedule, state, since } = members(data);
    this.#card(String(schedule)).status(String(state), String(since), reasonWords(data));
  }

  #card(schedule: string): Card {
    const card = this.#cards.get(schedule) ?? new Card(schedule);
    this.#cards.delete(schedule);
    this.#cards.set(schedule, card);
    if (!card.item.isConnected) this.#list.append(card.item);
    for (const [name, oldest] of this.#cards) {
      if (this.#cards.size <= MAX_SCHEDULES) break;
      oldest.item.remove();
      this.#cards.delete(name);
    }
    return card;
  }
}

/** One schedule. */
class Card {
  readonly item = element('li', 'tick');
  readonly #value = element('p', 'value', '–');
  readonly #note = element('p', 'note');
  readonly #state = element('p', 'state');
  readonly #facts: Readonly<Record<'received' | 'due' | 'seq' | 'late' | 'chain', HTMLElement>>;
  readonly #chain = new ChainCheck();
  #seen = 0;
  #breaks = 0;
  #lastBreak = '';

  constructor(schedule: string) {
    const list = element('dl', '');
    const fact = (className: string, name: string) => {
      const value = element('dd', className, '–');
      const pair = element('div', '');
      pair.append(element('dt', '', name), value);
      list.append(pair);
      return value;
    };
    this.#facts = {
      received: fact('received', 'Local time'),
      due: fact('due', 'Due'),
      seq: fact('seq', 'Seq'),
      late: fact('late', 'Late'),
      chain: fact('chain', 'Chain'),
    };
    this.#state.hidden = true;
    this.item.append(element('h3', '', schedule), this.#value, this.#note, this.#state, list);
  }

  tick(tick: Tick, { data, replay }: Received): boolean {
    const now = new Date();
    const unbroken = this.#chain.take(tick);
    this.#seen += 1;
    if (!unbroken) {
      this.#breaks += 1;
      this.#lastBreak = localTime(now);
    }
    this.#show(data);
    const { received, due, seq, late, chain } = this.#facts;
    received.textContent = localTime(now);
    due.textContent = tick.due;
    seq.textContent = tick.seq === undefined ? '–' : String(tick.seq);
    // A replayed tick was not late when it was first sent.
    late.textContent = replay ? 'sent again' : lateness(now.getTime() - Date.parse(tick.due));
    chain.className = this.#breaks === 0 ? 'chain unbroken' : 'chain broken';
    chain.textContent =
      this.#breaks === 0
        ? `✓ unbroken, ${this.#seen} seen`
        : `✗ broken ${this.#breaks}×, last ${this.#lastBreak}`;
    return unbroken;
  }

  status(state: string, since: string, why: string): void {
    if (state === 'changed') this.#chain.restart();
    this.#state.hidden = state === 'ok' || state === 'changed';
    this.#state.textContent = `${state} since ${localTime(new Date(since))}${why && `: ${why}`}`;
  }

  /** Shows the data of a `time` feed as a clock, other data as text. */
  #show(data: unknown): void {
    const { local, timezone } = members(data);
    const clock = typeof local === 'string' ? /^(\S+)T(\d\d:\d\d:\d\d)/.exec(local) : null;
    const text = clock?.[2] ?? readable(data);
    this.#value.textContent = text;
    this.#value.className = text.length > 24 ? 'value long' : 'value';
    this.#note.textContent = clock ? `${timezone}, ${clock[1]}` : '';
  }
}
