import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { belfry, fileWith, ready, type Server } from './process.ts';

/** `npm run crash -- --kills 200` sets it. */
const KILLS = Number(process.env.CRASH_KILLS ?? 10);
const ROOMS = ['a', 'b', 'c'];
const KEYS = ['k1', 'k2', 'k3'];
const LOCKED = ['l1', 'l2', 'l3'];
/** Once a day: they are only paused and resumed. */
const SCHEDULES = ['s1', 's2', 's3'];
const env = { BELFRY_ADMIN_TOKEN: 'an-operators-token' };
const CONFIG = {
  store: {},
  rooms: [{ match: '*', history: 100_000 }],
  limits: { maxBufferedBytes: 64 * 1_048_576, totalHistoryBytes: 1_048_576, retained: 10 },
  schedules: SCHEDULES.map((name) => ({ name, every: '1d', feed: { type: 'time' } })),
};

interface Message {
  readonly id?: string;
  readonly room?: string;
  readonly event?: string;
  readonly data?: unknown;
  readonly key?: string;
}

/** What a call to the server was meant to do, as far as it is known whether it did. */
class Attempts<Value> {
  acknowledged: Value | undefined;
  /** Began after that one; each of them may have been done. */
  open: Value[] = [];

  get possible(): (Value | undefined)[] {
    return [this.acknowledged, ...this.open];
  }
}

/** A server that is killed again and again, with what was asked of it. */
class Crashing {
  readonly #config = fileWith(CONFIG);
  #server: Server | undefined;
  #number = 0;
  /** Rooms and data by the ids that were answered. */
  readonly acknowledged: { id: string; rooms: readonly string[]; data: number }[] = [];
  /** Broadcasts that have been accepted to be sent later. */
  readonly waiting: number[] = [];
  /** Of those that were not answered: sent again with the same key after the restart. */
  readonly #unanswered = new Map<string, object>();
  readonly retained = new Map(KEYS.map((key) => [key, new Attempts<number | null>()]));
  readonly locks = new Map(LOCKED.map((room) => [room, new Attempts<boolean>()]));
  /** Of schedules: whether they are paused. */
  readonly pauses = new Map(SCHEDULES.map((name) => [name, new Attempts<boolean>()]));

  get url(): string {
    return this.#server?.url ?? '';
  }

  async start(): Promise<void> {
    const args = ['serve', '--port', '0', '--config', this.#config];
    this.#server = await ready(belfry(args, { env }), { env });
  }

  /** After a kill each schedule is as its last answer said, or as one of the calls meant that got none. */
  async checkPauses(): Promise<void> {
    for (const [name, attempts] of this.pauses) {
      const { state } = await answerOf(`${this.url}/admin/schedules/${name}`);
      const isPaused = state === 'paused';
      expect(attempts.possible.map(Boolean), name).toContain(isPaused);
      Object.assign(attempts, { acknowledged: isPaused, open: [] });
    }
  }

  async kill(): Promise<void> {
    this.#server?.child.kill('SIGKILL');
    await this.#server?.ended;
  }

  async stop(): Promise<void> {
    this.#server?.child.kill('SIGTERM');
    expect(await this.#server?.ended).toBe(0);
  }

  /** Resolves when the server is gone. */
  async load(): Promise<void> {
    const all = [this.#publishing(), this.#publishing(), this.#retrying(), this.#waiting()];
    await Promise.all([...all, this.#retaining(), this.#locking(), this.#pausing()]);
  }

  /** `undefined`: no answer came. */
  async #call(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
    try {
      const response = await fetch(`${this.url}/admin${path}`, {
        method,
        headers: { authorization: `Bearer ${env.BELFRY_ADMIN_TOKEN}`, ...headers },
        ...(body && { body: JSON.stringify(body) }),
      });
      const answer: { id: string } = JSON.parse(await response.text());
      return { status: response.status, answer };
    } catch {
      return undefined;
    }
  }

  async #publishing(): Promise<void> {
    for (;;) {
      const data = ++this.#number;
      const rooms = ROOMS.slice(0, 1 + (data % ROOMS.length));
      const answered = await this.#call('POST', '/broadcast', { rooms, data });
      if (!answered) return;
      expect(answered.status).toBe(200);
      this.acknowledged.push({ id: answered.answer.id, rooms, data });
    }
  }

  async #retrying(): Promise<void> {
    for (;;) {
      const [again] = this.#unanswered;
      const data = ++this.#number;
      const [key, body] = again ?? [`try-${data}`, { rooms: ['a'], data }];
      this.#unanswered.set(key, body);
      const answered = await this.#call('POST', '/broadcast', body, { 'idempotency-key': key });
      if (!answered) return;
      expect(answered.status).toBe(200);
      this.#unanswered.delete(key);
      const { id } = answered.answer;
      this.acknowledged.push({ id, rooms: ['a'], data: Object(body).data });
      if (data % 3 > 0) continue;
      const repeated = await this.#call('POST', '/broadcast', body, { 'idempotency-key': key });
      if (repeated) expect(repeated.answer.id).toBe(id);
    }
  }

  async #waiting(): Promise<void> {
    for (;;) {
      const data = ++this.#number;
      const answered = await this.#call('POST', '/broadcast', { rooms: ['b'], data, in: '200ms' });
      if (!answered) return;
      expect(answered.status).toBe(202);
      this.waiting.push(data);
      await sleep(20);
    }
  }

  async #retaining(): Promise<void> {
    for (;;) {
      const data = ++this.#number;
      const key = KEYS[data % KEYS.length] ?? '';
      const attempts = this.retained.get(key);
      const isWithdrawal = data % 5 === 0;
      attempts?.open.push(isWithdrawal ? null : data);
      const answered = isWithdrawal
        ? await this.#call('DELETE', `/retained/${key}`)
        : await this.#call('POST', '/broadcast', { rooms: ['c'], data, key });
      if (!answered) return;
      if (!isWithdrawal) expect(answered.status).toBe(200);
      if (attempts) Object.assign(attempts, { acknowledged: isWithdrawal ? null : data, open: [] });
    }
  }

  async #locking(): Promise<void> {
    for (;;) {
      const number = ++this.#number;
      const room = LOCKED[number % LOCKED.length] ?? '';
      const isLocked = number % 2 === 0;
      const attempts = this.locks.get(room);
      attempts?.open.push(isLocked);
      const path = `/rooms/${room}/lock`;
      const answered = await (isLocked ? this.#call('PUT', `${path}?for=1h`) : this.#call('DELETE', path));
      if (!answered) return;
      if (attempts) Object.assign(attempts, { acknowledged: isLocked, open: [] });
    }
  }
  async #pausing(): Promise<void> {
    for (;;) {
      const number = ++this.#number;
      const name = SCHEDULES[number % SCHEDULES.length] ?? '';
      const isPaused = number % 2 === 0;
      const attempts = this.pauses.get(name);
      attempts?.open.push(isPaused);
      const answered = await this.#call('POST', `/schedules/${name}/${isPaused ? 'pause' : 'resume'}`);
      if (!answered) return;
      expect(answered.status).toBe(200);
      if (attempts) Object.assign(attempts, { acknowledged: isPaused, open: [] });
    }
  }
}

/** A client that keeps the last id and comes back with it. */
class Wall {
  readonly messages: Message[] = [];
  readonly gaps: unknown[] = [];
  lastId: string | undefined;
  #socket: WebSocket | undefined;

  async come(url: string): Promise<void> {
    const rooms = ROOMS.map((room) => `room=${room}`).join('&');
    const since = this.lastId === undefined ? '' : `&since=${this.lastId}`;
    const socket = new WebSocket(`${url.replace('http', 'ws')}/rooms?${rooms}${since}`);
    this.#socket = socket;
    socket.on('error', () => {});
    await new Promise<void>((resolve) => {
      socket.on('close', () => resolve());
      socket.on('message', (text) => {
        const message: Message = JSON.parse(text.toString());
        if (message.id !== undefined) this.lastId = message.id;
        if (message.event === 'hello') {
          const { resumed } = Object(message.data);
          for (const [room, isWhole] of Object.entries(resumed)) {
            if (since !== '' && isWhole !== true) this.gaps.push({ since, room });
          }
          resolve();
        }
        if (message.room !== undefined && message.id !== undefined) this.messages.push(message);
      });
    });
  }

  leave(): void {
    this.#socket?.terminate();
  }
}

const nameOf = ({ id, room }: Message) => `${id} ${room}`;

test(
  `nothing acknowledged is lost, and nothing sent twice, over ${KILLS} kills`,
  async () => {
    const crashing = new Crashing();
    const wall = new Wall();
    for (let kill = 0; kill < KILLS; kill++) {
      await crashing.start();
      await crashing.checkPauses();
      await wall.come(crashing.url);
      const over = crashing.load();
      // On a busy machine the first answer takes long.
      await vi.waitUntil(() => crashing.acknowledged.length > kill, 10_000);
      await sleep(50 + Math.random() * 300);
      await crashing.kill();
      await over;
      wall.leave();
    }
    await crashing.start();
    await crashing.checkPauses();
    await wall.come(crashing.url);
    // What waited is sent by then.
    await sleep(1500);
    const later = new Wall();
    const [first] = wall.messages;
    const epoch = first?.id?.split('-')[0];
    later.lastId = `${epoch}-0`;
    await later.come(crashing.url);
    await sleep(500);

    expect(later.gaps).toEqual([]);
    expect(wall.gaps).toEqual([]);
    const stored = new Map(later.messages.map((message) => [nameOf(message), message]));
    expect(stored.size, 'messages by their ids').toBe(later.messages.length);
    for (const message of [...wall.messages, ...later.messages])
      expect(message.id?.split('-')[0]).toBe(epoch);

    const dataOf = (room: string) =>
      later.messages.filter((message) => message.room === room).map(({ data }) => data);
    const perRoom = new Map(ROOMS.map((room) => [room, dataOf(room)]));
    const sets = new Map(ROOMS.map((room) => [room, new Set(perRoom.get(room))]));
    const isIn = (room: string, data: number) => sets.get(room)?.has(data);
    for (const { id, rooms, data } of crashing.acknowledged) {
      for (const room of rooms) expect(isIn(room, data), `${data}, answered with ${id}`).toBe(true);
      const last = rooms.at(-1) ?? '';
      expect(stored.get(nameOf({ id, room: last }))?.data).toBe(data);
    }
    for (const data of crashing.waiting) expect(isIn('b', data), `${data}, which waited`).toBe(true);
    for (const [room, all] of perRoom) {
      const numbers = all.filter((data) => typeof data === 'number');
      expect(new Set(numbers).size, `sent once to ${room}`).toBe(numbers.length);
    }

    // One id stands for one message, also where a client got it and it never reached the disk.
    for (const message of wall.messages) {
      const same = stored.get(nameOf(message));
      if (same) expect(same.data).toEqual(message.data);
    }
    expect(new Set(wall.messages.map(nameOf)).size, 'a client gets each id once').toBe(wall.messages.length);
    const seen = new Set(wall.messages.map(nameOf));
    const from = Number(first?.id?.split('-')[1]);
    const missed = later.messages.filter(
      (message) => Number(message.id?.split('-')[1]) > from && !seen.has(nameOf(message)),
    );
    expect(missed.map(nameOf)).toEqual([]);

    const { items } = await answerOf(`${crashing.url}/admin/rooms/c/retained`);
    for (const [key, attempts] of crashing.retained) {
      const held = items?.find((item) => item.key === key)?.data ?? null;
      expect(
        attempts.possible.map((value) => value ?? null),
        key,
      ).toContain(held);
    }
    for (const [room, attempts] of crashing.locks) {
      const { locked } = await answerOf(`${crashing.url}/admin/rooms/${room}`);
      expect(attempts.possible.map(Boolean), room).toContain(Boolean(locked));
    }
    const { acknowledged, waiting } = crashing;
    const many = `${acknowledged.length} answered, ${waiting.length} waited, ${stored.size} stored`;
    console.info(`${KILLS} kills: ${many}`);
    expect(acknowledged.length).toBeGreaterThan(KILLS);
    wall.leave();
    later.leave();
    await crashing.stop();
  },
  KILLS * 10_000 + 60_000,
);

async function answerOf(url: string): Promise<{ items?: Message[]; locked?: object; state?: string }> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${env.BELFRY_ADMIN_TOKEN}` } });
  return JSON.parse(await response.text());
}
