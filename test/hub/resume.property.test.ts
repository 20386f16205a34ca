import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import { settled } from '../helpers/manual-clock.ts';
import { type Guest, quiet, type Seen, type Stage, stage, tickEvent } from './fixture.ts';

/** More runs, and others, by command: `FC_RUNS=100000 FC_SEED=7 npx vitest run test/hub/resume.property.test.ts`. */
const RUNS = Number(process.env.FC_RUNS ?? 300);
const SEED = Number(process.env.FC_SEED ?? 20_261_120);
const ROOMS = ['a', 'b', 'c'];
const CLIENTS = 4;
const GATES = ['beforeAppend', 'afterAppend', 'beforeSince', 'afterSince'] as const;

const client = fc.integer({ min: 0, max: CLIENTS - 1 });
const room = fc.constantFrom(...ROOMS);
const rooms = fc.subarray(ROOMS, { minLength: 1 });

/** What happens, told so that a counterexample reads as a story. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('come' as const), client }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('publish' as const), rooms }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('tick' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('lose' as const),
      client,
      kept: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('kick' as const, 'unsubscribe' as const), client }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('stall' as const, 'take' as const), client }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('close' as const), room, lockMs: fc.constantFrom(0, 800) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('shut' as const, 'open' as const),
      gate: fc.constantFrom(...GATES),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.constantFrom(600, 6000) }) },
);

/** What a client knows of one of its rooms on one connection. */
interface Attendance {
  /** The place that it came back with. */
  readonly since: number | undefined;
  /** The newest message delivered when it came in: what is above that comes live. */
  joinedAt: number;
  resumed: boolean | null | undefined;
}

const placeOf = (id: string) => Number(id.slice(id.lastIndexOf('-') + 1));

/** The world, with a list of all messages that were ever delivered. */
class World {
  readonly all: Stage;
  readonly delivered: { room: string; position: number }[] = [];
  tick = 0;
  /** The newest that reached anybody: what the next one says in `previous`. */
  sentTick: number | null = null;

  constructor(all: Stage) {
    this.all = all;
    all.hub.events.on('message', ({ room = '', id = '' }) =>
      this.delivered.push({ room, position: placeOf(id) }),
    );
  }

  in(room: string, above: number, upTo: number): number[] {
    return this.delivered
      .filter((message) => message.room === room && message.position > above && message.position <= upTo)
      .map(({ position }) => position);
  }

  sendTick(): void {
    this.tick++;
    const previous = this.sentTick === null ? null : dueOf(this.sentTick);
    const { data = 'null', tick, event, time } = tickEvent('', this.tick);
    if (!tick) throw new Error('not a tick');
    const sent = this.all.hub.deliver({
      rooms: ['*'],
      event: { event, time, tick: { ...tick, previous } },
      data,
    });
    if (sent.connections > 0) this.sentTick = this.tick;
    for (const room of ROOMS) {
      const now: ReturnType<typeof tickEvent> = {
        ...tickEvent(room, this.tick),
        tick: { ...tick, previous },
        replay: true,
      };
      this.all.ticks.rooms.set(room, { ticks: [now] });
    }
  }
}

const dueOf = (number: number) => tickEvent('', number).tick?.due ?? '';

/**
 * A client that follows the contract. A plain one joins all its rooms at once with the last id it
 * saw; a careful one joins the first and subscribes to the others, with the last id of each.
 */
class Client {
  readonly #world: World;
  readonly #careful: boolean;
  readonly #rooms: readonly string[];
  #lastId: string | undefined;
  readonly #lastIds = new Map<string, string>();
  #guest: Guest | undefined;
  readonly #attended = new Map<string, Attendance>();
  readonly #unsubscribed = new Set<string>();
  #coming: Promise<void> = Promise.resolve();

  constructor(world: World, rooms: readonly string[], careful: boolean) {
    this.#world = world;
    this.#rooms = rooms;
    this.#careful = careful;
    const { hub } = world.all;
    // A join may have waited for others.
    hub.events.on('join', ({ connection, room }) => {
      const attendance = connection === this.#guest?.connection && this.#attended.get(room);
      if (attendance) attendance.joinedAt = placeOf(hub.newestId);
    });
  }

  get guest(): Guest | undefined {
    return this.#guest?.connection.closed ? undefined : this.#guest;
  }

  come(): void {
    if (this.guest) return;
    this.leave(1);
    const { connect } = this.#world.all;
    const guest = connect();
    this.#guest = guest;
    this.#coming = this.#careful ? this.#comeCarefully(guest) : this.#join(guest, this.#rooms, this.#lastId);
  }

  async #comeCarefully(guest: Guest): Promise<void> {
    const [first = '', ...others] = this.#rooms;
    await this.#join(guest, [first], this.#lastIds.get(first));
    for (const room of others) {
      if (guest.connection.closed) return;
      const since = this.#lastIds.get(room);
      const attendance = this.#attend(room, since);
      try {
        attendance.resumed = (await this.#world.all.hub.subscribe(guest.connection, room, since))[room];
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.#attended.delete(room);
      }
    }
  }

  #join(guest: Guest, rooms: readonly string[], since: string | undefined): Promise<void> {
    for (const room of rooms) this.#attend(room, since);
    return this.#world.all.hub.join(guest.connection, rooms, since);
  }

  #attend(room: string, since: string | undefined): Attendance {
    const attendance: Attendance = {
      since: since === undefined ? undefined : placeOf(since),
      joinedAt: placeOf(this.#world.all.hub.newestId),
      resumed: undefined,
    };
    this.#attended.set(room, attendance);
    return attendance;
  }

  unsubscribe(): void {
    const room = this.#rooms.at(-1) ?? '';
    if (!this.guest?.connection.rooms.has(room)) return;
    this.#world.all.hub.leave(this.guest.connection, room);
    this.#unsubscribed.add(room);
  }

  /** The connection is over; of what was written the client got the first part. */
  leave(kept: number): void {
    const guest = this.#guest;
    if (!guest) return;
    this.#world.all.hub.disconnect(guest.connection);
    this.#guest = undefined;
    const { seen } = guest.sink;
    this.#examine(seen.slice(0, Math.ceil(seen.length * kept)), false);
    this.#attended.clear();
    this.#unsubscribed.clear();
  }

  joined(): Promise<void> {
    return this.#coming;
  }

  end(): void {
    if (this.guest) this.#examine(this.guest.sink.seen, true);
  }

  #examine(seen: readonly Seen[], isAll: boolean): void {
    const hello = seen.find(({ event }) => event === 'hello');
    if (!hello) {
      expect(seen.filter(({ event }) => event !== 'closing')).toEqual([]);
      return;
    }
    expect(seen[0]).toBe(hello);
    for (const room of hello.data?.rooms ?? []) {
      const attendance = this.#attended.get(room);
      if (attendance) attendance.resumed = hello.data?.resumed?.[room];
    }
    const got = new Map<string, number[]>(this.#rooms.map((room) => [room, []]));
    /** Where the client stood when a room was closed to it. */
    const ended = new Map<string, number>();
    let last = placeOf(hello.id ?? '');
    let newest = 0;
    // What `subscribe` replays lies below what came live before.
    let highest = last;
    for (const { event, room = '', id } of seen) {
      if (event === 'closing' && room !== '') ended.set(room, highest);
      if (event !== 'message' || id === undefined) continue;
      last = placeOf(id);
      if (!this.#careful) expect(last).toBeGreaterThan(newest);
      newest = last;
      highest = Math.max(highest, last);
      got.get(room)?.push(last);
    }
    for (const [room, positions] of got) {
      const attendance = this.#attended.get(room);
      if (!attendance || attendance.resumed === undefined) {
        expect(positions).toEqual([]);
        continue;
      }
      const { since = 0, joinedAt, resumed } = attendance;
      const first = positions[0] ?? Number.POSITIVE_INFINITY;
      const above = resumed ? since : resumed === null ? joinedAt : Math.min(first - 1, joinedAt);
      const isOver = ended.has(room) || this.#unsubscribed.has(room);
      const reached = this.#careful || this.#unsubscribed.has(room) ? (positions.at(-1) ?? 0) : last;
      const upTo = isAll && !isOver ? Number.POSITIVE_INFINITY : (ended.get(room) ?? reached);
      expect(positions, `messages in ${room}`).toEqual(this.#world.in(room, above, upTo));
      this.#examineTicks(room, seen, isAll && !isOver);
    }
    this.#lastId = seen.findLast(({ id }) => id !== undefined)?.id ?? this.#lastId;
    this.#remember(seen, hello);
  }

  /** A careful client remembers a place for each room: the newest message, or where it came in. */
  #remember(seen: readonly Seen[], hello: Seen): void {
    const [first = ''] = this.#rooms;
    if (hello.id !== undefined) this.#lastIds.set(first, hello.id);
    for (const { event, room = '', id } of seen)
      if (event === 'message' && id !== undefined) this.#lastIds.set(room, id);
  }

  #examineTicks(room: string, seen: readonly Seen[], isAll: boolean): void {
    let shown: number | undefined;
    for (const { event, data, tick, conflated = 0, room: of } of seen) {
      if (event !== 'time' || of !== room) continue;
      const number = Number(data);
      if (shown !== undefined) {
        expect(number).toBeGreaterThan(shown);
        // The viewer's rule: nothing was missed, or the tick says how many it stands for.
        if (conflated === 0) expect(!tick?.previous || tick.previous <= dueOf(shown)).toBe(true);
        else expect(number - shown - 1).toBe(conflated);
      }
      shown = number;
    }
    if (isAll && this.#world.tick > 0) expect(shown ?? this.#world.tick).toBe(this.#world.tick);
  }
}

test(
  'every client has each message of its rooms once and in order, or was told of the gap',
  async () => {
    const tally = { whole: 0, gaps: 0, slow: 0, conflated: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 30, maxLength: 120, size: 'max' }),
        fc.integer({ min: 0, max: 8 }),
        fc.constantFrom(2500, Number.POSITIVE_INFINITY),
        // Time stands still: with 0 a join is done in one go, with less each of its steps waits for its turn.
        fc.constantFrom(0, -1),
        async (steps, history, historyBytes, fanoutSliceMs) => {
          const all = await stage({
            history,
            historyBytes,
            limits: {
              fanoutSliceMs,
              conflateAboveBytes: 500,
              maxBufferedBytes: 3000,
              totalBufferedBytes: 8000,
            },
          });
          const { hub, clock, log } = all;
          const world = new World(all);
          const clients = [
            new Client(world, ['a'], false),
            new Client(world, ['a', 'b', 'c'], false),
            new Client(world, ['b', 'c'], false),
            new Client(world, ['c', 'a', 'b'], true),
          ];
          hub.events.on('close', ({ reason }) => {
            if (reason.code === 4101) tally.slow++;
          });
          const acts: Promise<unknown>[] = [];
          for (const one of steps) {
            const who = 'client' in one ? clients[one.client] : undefined;
            if (one.do === 'come') who?.come();
            if (one.do === 'publish')
              acts.push(hub.publish({ target: { rooms: one.rooms }, event: 'message', data: '"message"' }));
            if (one.do === 'tick') world.sendTick();
            if (one.do === 'lose') who?.leave(one.kept);
            if (one.do === 'unsubscribe') who?.unsubscribe();
            if (one.do === 'kick' && who?.guest)
              acts.push(hub.closeConnection(who.guest.connection.id).catch(expectRefusal));
            if (one.do === 'stall' && who?.guest) who.guest.sink.stalled = true;
            if (one.do === 'take') who?.guest?.sink.take();
            if (one.do === 'close')
              acts.push(
                hub.closeRoom(one.room, { lockMs: one.lockMs, reconnect: true }).catch(expectRefusal),
              );
            if (one.do === 'shut') log[one.gate].shut();
            if (one.do === 'open') log[one.gate].open();
            if (one.do === 'turn') await settled();
            if (one.do === 'time') clock.advance(one.ms);
          }
          for (const gate of GATES) log[gate].open();
          for (let turns = 0; turns < 5; turns++) await quiet();
          for (const one of clients) await one.joined();
          for (const { guest } of clients) guest?.sink.wake();
          await Promise.all(acts);
          await quiet();
          for (const { guest } of clients) guest?.sink.wake();
          for (const one of clients) {
            one.end();
            tally.conflated += one.guest?.connection.outbox.conflated ?? 0;
            for (const { data } of one.guest?.sink.seen.filter(({ event }) => event === 'hello') ?? []) {
              const resumed = Object.values(data?.resumed ?? {});
              if (resumed.includes(true)) tally.whole++;
              if (resumed.includes(false)) tally.gaps++;
            }
            one.leave(1);
          }
          clock.advance(60_000);
          expect([hub.connectionCount, hub.roomCount, clock.pending]).toEqual([0, 0, 0]);
          expect(all.faults).toEqual([]);
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
    // The runs have shown what they are for.
    for (const [what, count] of Object.entries(tally)) expect(count, what).toBeGreaterThan(RUNS / 30);
  },
  300_000 + RUNS * 100,
);

function expectRefusal(error: unknown): void {
  expect(error).toBeInstanceOf(Refusal);
}
