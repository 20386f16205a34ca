import { type Client, connect } from '../../client/index.ts';
import { type Message, members } from '../../client/messages.ts';
import { reasonWords } from '../../client/status-text.ts';
import type { RoomAddress } from './address.ts';
import { displayCommand } from './display.ts';
import { fetchSettings, type RoomSettings } from './settings.ts';
import { shownValue } from './values.ts';

/** Numbers that a sparkline shows. */
const MAX_POINTS = 60;
/** Where the server said to stay away the wall tries again after this time all the same. */
const LOOK_AGAIN_MS = 60_000;
/** Displays that are told to reload do it one by one. */
const MAX_RELOAD_DELAY_MS = 3000;

/** Something that covers the wall for some seconds. */
export interface Overlay {
  readonly name: 'identify' | 'message';
  readonly data: unknown;
  /** On the monotonic clock of the page. */
  readonly endsAtMs: number;
}

/** All that a wall shows. It calls `onChange` after each change; time passes without it. */
export class Wall {
  readonly address: RoomAddress;
  readonly client: Client;
  /** By room; of no room what is sent to this device, connection or user alone. */
  readonly newest = new Map<string, Message>();
  /** The last numbers of each schedule. */
  readonly points = new Map<string, number[]>();
  /** Why a schedule is not as it should be. */
  readonly reasons = new Map<string, string>();
  settings: readonly RoomSettings[] = [];
  connection = '';
  overlay: Overlay | undefined;
  readonly #onChange: () => void;
  /** When anything came last. */
  #heardAtMs = Number.NEGATIVE_INFINITY;

  constructor(address: RoomAddress, onChange: () => void) {
    this.address = address;
    this.#onChange = onChange;
    const { rooms, token, device, transport } = address;
    this.client = connect(address.server, {
      rooms,
      transport,
      lookAgainMs: LOOK_AGAIN_MS,
      ...(token !== undefined && { token }),
      ...(device !== undefined && { device }),
    });
    this.#listen();
    void this.#loadSettings();
  }

  /** How long ago anything came from the server; infinite before the first time. */
  get heardMs(): number {
    return performance.now() - this.#heardAtMs;
  }

  /** How the first room is shown, and the page with it. */
  get style(): RoomSettings | undefined {
    return this.settings[0];
  }

  #listen(): void {
    const { client } = this;
    client.on('received', ({ event, data }) => {
      this.#heardAtMs = performance.now();
      if (event !== 'hello') return;
      this.connection = String(members(data).connection);
      this.reasons.clear();
      // They may have changed, or the room was closed until now.
      void this.#loadSettings();
    });
    client.on('tick', ({ tick, data }) => {
      const shown = shownValue(data, this.address.page);
      if (shown.kind === 'number') this.#addPoint(tick.schedule, shown.number);
      this.#onChange();
    });
    client.on('status', ({ data }) => {
      if (data.state === 'ok') this.reasons.delete(data.schedule);
      else this.reasons.set(data.schedule, reasonWords(data));
      this.#onChange();
    });
    client.on('message', (message) => this.#onMessage(message));
    for (const name of ['retained', 'freshness', 'state', 'clock'] as const) client.on(name, this.#onChange);
  }

  #onMessage(message: Message): void {
    const { event, room = '', key } = message;
    const command = displayCommand(message);
    if (command?.name === 'reload') {
      setTimeout(() => location.reload(), Math.random() * MAX_RELOAD_DELAY_MS);
    } else if (command) {
      const { name, data, seconds } = command;
      this.overlay = { name, data, endsAtMs: performance.now() + seconds * 1000 };
    } else if (key === undefined && !event.startsWith('display.')) {
      this.newest.set(room, message);
    }
    this.#onChange();
  }

  #addPoint(schedule: string, number: number): void {
    const points = this.points.get(schedule) ?? [];
    points.push(number);
    if (points.length > MAX_POINTS) points.shift();
    this.points.set(schedule, points);
  }

  async #loadSettings(): Promise<void> {
    const { server, rooms, token } = this.address;
    this.settings = (await fetchSettings(server, rooms, token)) ?? this.settings;
    this.#onChange();
  }
}
