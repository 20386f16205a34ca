import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { handshake } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const SLOW = 1000;
const GOOD = 200;
const TICKS = 15;
const EVERY_MS = 250;
/** Other tests run beside this one, and may hold it up for some instants. Then all clients miss the same ones. */
const MAX_MISSED = 3;

describe('a thousand clients that send a byte a second of a handshake', () => {
  const slow: Socket[] = [];
  let trickle: NodeJS.Timeout | undefined;
  let server: TestServer | undefined;

  afterEach(async () => {
    clearInterval(trickle);
    for (const socket of slow) socket.destroy();
    await server?.stop();
  });

  test('keep none of two hundred good ones from any tick', async () => {
    server = await startServer({
      schedules: [{ name: 'clock', every: `${EVERY_MS}ms`, feed: { type: 'time' } }],
    });
    await Promise.all(Array.from({ length: SLOW }, () => open(server?.port ?? 0)));
    const bytes = handshake();
    let sent = 0;
    // A tenth of them every tenth of a second: each a byte a second, and no two alike.
    trickle = setInterval(() => {
      const [group, byte] = [sent % 10, Math.floor(sent / 10)];
      for (let index = group; index < SLOW; index += 10) slow[index]?.write(bytes.charAt(byte));
      sent++;
    }, 100);

    const { url } = server;
    const good = Array.from({ length: GOOD }, () => new SocketGuest(`${url}/rooms/lobby`));
    await Promise.all(good.map((guest) => guest.event('hello')));
    const chains = await Promise.all(good.map((guest) => chainOf(guest)));
    for (const chain of chains) {
      for (const [index, { previous }] of chain.entries()) {
        if (index > 0) expect(previous).toBe(chain[index - 1]?.due);
      }
      const [first, last] = [chain[0], chain.at(-1)].map((seen) => Date.parse(seen?.due ?? ''));
      expect(((last ?? 0) - (first ?? 0)) / EVERY_MS - (TICKS - 1)).toBeLessThanOrEqual(MAX_MISSED);
      const late = chain.map(({ due, time }) => Date.parse(time) - Date.parse(due)).sort((a, b) => a - b);
      expect(late[Math.floor(TICKS / 2)]).toBeLessThan(EVERY_MS / 2);
    }
    expect(slow.filter(({ destroyed }) => destroyed)).toEqual([]);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    await Promise.all(good.map((guest) => guest.leave()));
  });

  async function open(port: number): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1' });
    slow.push(socket);
    socket.on('error', () => {});
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  }
});

interface Seen {
  readonly due: string;
  readonly previous: string | null;
  readonly time: string;
}

/** The next ticks of a guest, live ones only. */
async function chainOf(guest: SocketGuest): Promise<Seen[]> {
  const chain: Seen[] = [];
  while (chain.length < TICKS) {
    const { tick, replay, time = '' } = await guest.next(({ tick }) => tick !== undefined);
    if (tick && !replay) chain.push({ ...tick, time });
  }
  return chain;
}
