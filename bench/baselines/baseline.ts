import { serveCalls } from '../harness/remote.ts';
import { TICKED } from '../harness/server.ts';

/** The subscribers of each room. */
export class Rooms<Subscriber> extends Map<string, Set<Subscriber>> {
  /** Returns what removes the subscriber again. */
  join(room: string, subscriber: Subscriber): () => void {
    const subscribers = this.get(room) ?? new Set();
    this.set(room, subscribers.add(subscriber));
    return () => subscribers.delete(subscriber);
  }
}

export interface TickOptions {
  readonly everyMs: number;
  /** How many ticks are due at each instant; one by default. */
  readonly ticks?: number;
}

/** What a baseline can be asked for. */
export type BaselineApi = {
  /** Answers the port. */
  listen(): Promise<number>;
  startTicks(options: TickOptions): void;
  stopTicks(): void;
  /** Sends a string of this size to a room, now. */
  broadcast(options: { room: string; bytes: number }): void;
};

export function serveBaseline<Subscriber>(
  listen: () => Promise<number>,
  rooms: Rooms<Subscriber>,
  deliver: (text: string, subscribers: Iterable<Subscriber>) => void,
): void {
  let timer: NodeJS.Timeout | undefined;
  const startTicks = (options: TickOptions) => {
    const { everyMs, ticks = 1 } = options;
    const now = Date.now();
    const due = Math.ceil((now + 1) / everyMs) * everyMs;
    timer = setTimeout(() => {
      for (let number = 0; number < ticks; number++) {
        for (const [room, subscribers] of rooms) {
          if (room.startsWith(TICKED)) deliver(tickText(room, `clock-${number}`, due, everyMs), subscribers);
        }
      }
      startTicks(options);
    }, due - now);
  };
  const broadcast: BaselineApi['broadcast'] = ({ room, bytes }) => {
    const message = { room, event: 'message', time: new Date().toISOString(), data: 'x'.repeat(bytes) };
    deliver(JSON.stringify(message), rooms.get(room) ?? []);
  };
  serveCalls({ listen, startTicks, stopTicks: () => clearTimeout(timer), broadcast } satisfies BaselineApi);
}

/** The same bytes that Belfry sends. */
function tickText(room: string, schedule: string, due: number, everyMs: number): string {
  const unixMs = Date.now();
  const instant = (ms: number) => new Date(ms).toISOString();
  const iso = instant(unixMs);
  return JSON.stringify({
    room,
    event: 'time',
    time: iso,
    data: { iso, unixMs, timezone: 'UTC', local: iso.replace('Z', '+00:00') },
    tick: {
      schedule,
      due: instant(due),
      previous: instant(due - everyMs),
      next: instant(due + everyMs),
      seq: Math.floor(due / everyMs),
    },
  });
}
