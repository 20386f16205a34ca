import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../src/hub/errors.ts';
import { SocketGuest, StreamGuest } from './helpers/guest.ts';
import { startServer, type TestServer } from './helpers/server.ts';

let server: TestServer;
/** Ends of actions that wait to be told. */
const waiting: (() => void)[] = [];

beforeAll(async () => {
  server = await startServer({
    limits: { messagesPerSecond: 0, messageBurst: 0, roomMessagesPerSecond: 0 },
    rooms: [
      { match: 'talk*', publish: 'members', joinHistory: 0 },
      { match: 'cellar', subscribe: 'nobody' },
      { match: 'quiet', publish: 'nobody' },
    ],
  });
  const { belfry } = server;
  belfry.action('add', ({ sent }) => Number(sent.a) + Number(sent.b));
  belfry.action('wait', () => new Promise<void>((resolve) => waiting.push(resolve)));
  belfry.action('throw', () => {
    throw new Error('hunter2');
  });
  belfry.action('reject', () => Promise.reject(new Error('hunter2')));
  belfry.action('circle', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    return circle;
  });
  belfry.action('big', () => ({ n: 1n }));
});
afterAll(() => server.stop());

async function join(path = '/rooms/talk'): Promise<SocketGuest> {
  const guest = new SocketGuest(server.url + path);
  await guest.event('hello');
  return guest;
}

describe('actions', () => {
  it('reply with action, ref, time and data', async () => {
    const guest = await join();
    guest.say({ action: 'ping', ref: { any: ['thing'] } });
    const reply = await guest.next();
    expect(reply).toEqual({ reply: 'ping', ref: { any: ['thing'] }, time: expect.any(String), data: {} });
    expect(reply.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    guest.say({ action: 'ping' });
    expect(await guest.next()).not.toHaveProperty('ref');
    await guest.leave();
  });

  it.each([null, 0, 'text', [1, { a: '\u0000🔔' }], { __proto__x: 1 }])(
    'echo gives %j back',
    async (data) => {
      const guest = await join();
      expect((await guest.ask({ action: 'echo', data })).data).toEqual(data);
      await guest.leave();
    },
  );

  it('tell the time of the server, received and sent', async () => {
    const guest = await join();
    const before = Date.now();
    const { data } = await guest.ask({ action: 'time', data: { t0: 12.5 } });
    expect(data.t0).toBe(12.5);
    expect(data.t1).toBeGreaterThanOrEqual(before);
    expect(data.t2).toBeGreaterThanOrEqual(data.t1);
    const wrong = await guest.ask({ action: 'time', data: { t0: 'x' } });
    expect(wrong.error).toMatchObject({ status: 400, detail: expect.stringContaining('"t0" is "x"') });
    await guest.leave();
  });

  it('publish to everybody in the room, with who it is from', async () => {
    const [sender, other] = [await join('/rooms/talk?device=door'), await join()];
    const stream = new StreamGuest(`${server.url}/rooms/talk`);
    await stream.event('hello');
    const reply = await sender.ask({ action: 'publish', data: { text: 'hi' } });
    expect(reply.data).toEqual({ id: expect.any(String), connections: 3 });
    for (const guest of [sender, other, stream]) {
      expect(await guest.event('message')).toMatchObject({
        id: reply.data.id,
        room: 'talk',
        data: { text: 'hi' },
        from: { device: 'door', connection: expect.any(String) },
      });
    }
    stream.leave();
    await Promise.all([sender.leave(), other.leave()]);
  });

  it('publish without the sender where it asks for that', async () => {
    const [sender, other] = [await join(), await join()];
    const { data } = await sender.ask({ action: 'publish', event: 'note', self: false, data: 1 });
    expect(data.connections).toBe(1);
    expect(await other.event('note')).toMatchObject({ data: 1 });
    await sender.ask({ action: 'ping' });
    expect(sender.rest).toEqual([]);
    await Promise.all([sender.leave(), other.leave()]);
  });

  it.each([
    ['/rooms/quiet', {}, 403, 'rooms[2].publish is "nobody": "members" would allow it'],
    ['/rooms/nowhere', {}, 403, 'no rule of "rooms" matches it'],
    ['/rooms/talk', { room: 'talk2' }, 403, 'this connection is not in room "talk2"'],
    ['/rooms/talk', { data: undefined }, 400, '"data" is missing'],
    ['/rooms/talk', { room: '-' }, 400, '"-" is not a room name'],
    ['/rooms/talk', { room: 7 }, 400, '"room" is 7: send'],
    ['/rooms/talk', { room: null }, 400, '"room" is null: send'],
    ['/rooms/talk', { self: 'no' }, 400, '"self" is "no": send true or false'],
    ['/rooms/talk', { event: 'hello' }, 400, '"hello" is sent by the server alone'],
    ['/rooms/talk', { event: 'display.reload' }, 400, 'administrators only'],
    ['/rooms/talk', { event: '9' }, 400, '"9" is not an event name'],
    ['/rooms?room=talk&room=talk2', {}, 400, '"room" is missing: this connection is in 2 rooms'],
  ])('at %s refuse to publish with %j: %i %s', async (path, more, status, detail) => {
    const guest = await join(path);
    const { error } = await guest.ask({ action: 'publish', data: 1, ...more });
    expect(error).toMatchObject({ status, detail: expect.stringContaining(detail) });
    if (status === 400) expect(error?.detail).toContain('; a line that works: {"action":"publish",');
    expect(guest.rest).toEqual([]);
    await guest.leave();
  });

  it('subscribe and unsubscribe', async () => {
    const guest = await join();
    const { data } = await guest.ask({ action: 'subscribe', room: 'talk-2' });
    expect(data).toEqual({ room: 'talk-2', resumed: null });
    await server.belfry.publish({ target: { rooms: ['talk-2'] }, data: 'in' });
    expect(await guest.event('message')).toMatchObject({ room: 'talk-2', data: 'in' });
    expect((await guest.ask({ action: 'unsubscribe', room: 'talk-2' })).data).toEqual({ room: 'talk-2' });
    await server.belfry.publish({ target: { rooms: ['talk-2'] }, data: 'out' });
    await guest.ask({ action: 'ping' });
    expect(guest.rest).toEqual([]);
    await guest.leave();
  });

  it.each([
    [{ action: 'subscribe' }, 400, '"room" is missing'],
    [{ action: 'subscribe', room: '*' }, 400, '"*" is not a room name'],
    [{ action: 'subscribe', room: 'cellar' }, 403, 'rooms[1].subscribe is "nobody"'],
    [{ action: 'subscribe', room: 'talk', since: 5 }, 400, '"since" is 5'],
    [{ action: 'unsubscribe', room: 'elsewhere' }, 404, 'not in room "elsewhere"'],
  ])('refuse %j with %i', async (line, status, detail) => {
    const guest = await join();
    expect((await guest.ask(line)).error).toMatchObject({ status, detail: expect.stringContaining(detail) });
    await guest.leave();
  });

  it('close with a reply, and 1000', async () => {
    const guest = await join();
    expect((await guest.ask({ action: 'close' })).reply).toBe('close');
    expect((await guest.event('closing')).data).toMatchObject({ code: 1000, reconnect: false });
    expect(await guest.closed).toMatchObject({ code: 1000 });
  });

  it.each([
    ['hello', 'not JSON: hello'],
    ['', 'not JSON: '],
    ['{"action":', 'not JSON: {"action":'],
    ['[1]', 'not a JSON object: [1]'],
    ['null', 'not a JSON object: null'],
    ['{}', '"action" is missing: send one of ping, echo, time, publish'],
    ['{"action":7}', '7 is not one of ping, echo'],
    ['{"action":"constructor"}', '"constructor" is not one of ping'],
    ['{"action":"__proto__"}', '"__proto__" is not one of ping'],
    ['{"action":"nothing"}', '"nothing" is not one of ping'],
    [`{"action":"${'x'.repeat(9000)}"}`, 'is not one of ping'],
  ])('answer %j with a line that works, and the connection stays', async (line, detail) => {
    const guest = await join();
    guest.say(line);
    const { error } = await guest.next();
    expect(error).toMatchObject({ status: 400, title: 'Bad Request' });
    expect(error?.detail).toContain(detail);
    expect(error?.detail).toMatch(/; a line that works: {"action":"ping"}$/);
    expect(error?.detail.length).toBeLessThan(300);
    expect((await guest.ask({ action: 'ping' })).data).toEqual({});
    await guest.leave();
  });

  it('of an embedding program are performed like the others', async () => {
    const guest = await join();
    expect((await guest.ask({ action: 'add', a: 2, b: 3 })).data).toBe(5);
    expect(() => server.belfry.action('ping', () => {})).toThrow('action "ping" is there already');
    await guest.leave();
  });

  it.each(['throw', 'reject', 'circle', 'big'])(
    'that fail (%s) are a 500 to who called, a line in the log, and nothing to others',
    async (action) => {
      const [caller, other] = [await join(), await join()];
      const before = server.logged.length;
      const { error, reply } = await caller.ask({ action });
      expect(reply).toBe(action);
      expect(error).toEqual({ status: 500, title: 'Internal Server Error', detail: expect.any(String) });
      expect(JSON.stringify(error)).not.toContain('hunter2');
      expect(server.logged.slice(before)).toMatchObject([{ msg: `action "${action}" failed` }]);
      await Promise.all([caller.ask({ action: 'ping' }), other.ask({ action: 'ping' })]);
      expect([...caller.rest, ...other.rest]).toEqual([]);
      await Promise.all([caller.leave(), other.leave()]);
    },
  );

  it('of one connection are handled in order, and hold nobody else up', async () => {
    const [caller, other] = [await join(), await join()];
    caller.say({ action: 'wait', ref: 'first' });
    caller.say({ action: 'ping', ref: 'second' });
    await expect.poll(() => waiting.length).toBe(1);
    await other.ask({ action: 'ping' });
    expect(caller.rest).toEqual([]);
    waiting.pop()?.();
    expect((await caller.next()).ref).toBe('first');
    expect((await caller.next()).ref).toBe('second');
    await Promise.all([caller.leave(), other.leave()]);
  });

  it('keep the messages of each sender in their order', async () => {
    const senders = await Promise.all([join(), join(), join()]);
    const listener = await join();
    for (let n = 0; n < 200; n++) {
      for (const [index, sender] of senders.entries()) sender.say({ action: 'publish', data: { index, n } });
    }
    const next = new Map<number, number>();
    for (let count = 0; count < 600; count++) {
      const { data } = await listener.event('message');
      expect(data.n).toBe(next.get(data.index) ?? 0);
      next.set(data.index, data.n + 1);
    }
    await Promise.all([...senders, listener].map((guest) => guest.leave()));
  });
});

describe('a line that works', () => {
  let strict: TestServer;
  beforeAll(async () => {
    strict = await startServer({
      limits: { messagesPerSecond: 0, messageBurst: 0, roomsPerConnection: 3 },
      rooms: [
        { match: 'talk*', publish: 'members', joinHistory: 0 },
        { match: 'lobby', subscribe: 'nobody' },
      ],
    });
    strict.belfry.action('picky', ({ sent }) => {
      throw new Refusal(400, `${sent.data} is not to my taste`);
    });
  });
  afterAll(() => strict.stop());

  const wrong = [
    { action: 'publish' },
    { action: 'publish', data: 1, room: 7 },
    { action: 'publish', data: 1, event: 'hello' },
    { action: 'publish', data: 1, self: 'no', room: 'talk-2' },
    { action: 'publish', data: 1, self: 'no', room: 'quiet' },
    { action: 'subscribe' },
    { action: 'subscribe', room: '*' },
    { action: 'subscribe', room: 'talk-7', since: 5 },
    { action: 'subscribe', room: 'lobby', since: 5 },
    { action: 'unsubscribe', room: 5 },
    { action: 'unsubscribe', room: '' },
    { action: 'time', data: { t0: 'now' } },
    { action: 'nothing' },
    { action: 7 },
  ];

  it.each([
    ['/rooms/talk'],
    ['/rooms/quiet'],
    ['/rooms?room=quiet&room=talk'],
    ['/rooms?room=talk-1&room=talk-2&room=talk-3'],
    ['/rooms?room=quiet&room=quieter'],
  ])('works where it is shown, in %s', async (path) => {
    for (const where of [strict, server]) {
      for (const line of wrong) {
        const guest = new SocketGuest(where.url + path);
        await guest.event('hello');
        const { error } = await guest.ask(line);
        const [, example] = error?.detail.split('; a line that works: ') ?? [];
        if (error?.status === 400 && !(line.action === 'publish' && /quiet(&room=quieter)?$/.test(path)))
          expect(example, `${JSON.stringify(line)}: ${error.detail}`).toBeDefined();
        if (example) {
          guest.say(example);
          const reply = await guest.next(({ reply }) => reply !== undefined);
          expect(reply, `${JSON.stringify(line)}: ${error?.detail}`).not.toHaveProperty('error');
        }
        await guest.leave();
      }
    }
  });

  it('is none that publishes where the connection may publish nowhere', async () => {
    const guest = await join('/rooms/nowhere');
    const { error } = await guest.ask({ action: 'publish', data: 1, room: 7 });
    expect(error).toMatchObject({ status: 400, detail: expect.not.stringContaining('a line that works') });
    await guest.leave();
  });

  it('names the room where the connection is in several, and subscribes where it is in none', async () => {
    const guest = await join('/rooms?room=quiet&room=talk');
    expect((await guest.ask({ action: 'publish', data: 1 })).error?.detail).toMatch(
      /in 2 rooms; a line that works: {"action":"publish","room":"talk","data":{"text":"hello"}}$/,
    );
    await guest.ask({ action: 'unsubscribe', room: 'quiet' });
    await guest.ask({ action: 'unsubscribe', room: 'talk' });
    expect((await guest.ask({ action: 'publish', data: 1 })).error?.detail).toMatch(
      /in 0 rooms; a line that works: {"action":"subscribe","room":"lobby"}$/,
    );
    await guest.leave();
  });

  it('is none that subscribes to a room that is locked', async () => {
    const guest = await join('/rooms/talk');
    const other = await join('/rooms/lobby');
    await server.admin('/rooms/lobby?lock=1h', { method: 'DELETE' });
    expect((await guest.ask({ action: 'subscribe' })).error?.detail).toMatch(
      /; a line that works: {"action":"subscribe","room":"talk"}$/,
    );
    await server.admin('/rooms/lobby/lock', { method: 'DELETE' });
    await other.closed;
    await guest.leave();
  });

  it('is not made up for an action of an embedding program', async () => {
    const guest = new SocketGuest(`${strict.url}/rooms/talk`);
    await guest.event('hello');
    expect((await guest.ask({ action: 'picky', data: 3 })).error).toEqual({
      status: 400,
      title: 'Bad Request',
      detail: '3 is not to my taste',
    });
    await guest.leave();
  });
});

describe('frames of a client', () => {
  it('that are binary close with 1003, and say why', async () => {
    const guest = await join();
    guest.socket.send(Buffer.from('{}'), { binary: true });
    expect((await guest.event('closing')).data).toMatchObject({ code: 1003, reconnect: false });
    expect((await guest.closed).code).toBe(1003);
  });

  it('that are too large close with 1009', async () => {
    const guest = await join();
    guest.say(JSON.stringify({ action: 'echo', data: 'x'.repeat(16_384) }));
    expect((await guest.closed).code).toBe(1009);
    const fits = await join();
    const line = { action: 'echo', data: 'x'.repeat(16_300) };
    expect((await fits.ask(line)).data).toHaveLength(16_300);
    await fits.leave();
  });

  it('that are not UTF-8 close with 1007', async () => {
    const guest = await join();
    guest.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    expect((await guest.closed).code).toBe(1007);
  });
});
