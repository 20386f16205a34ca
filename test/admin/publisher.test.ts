import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

/** Its rooms are `lobby` and `ops-*`. */
const KIOSK = 'publisher-token';
/** Its rooms are `*`. */
const SIREN = 'every-room-token';

const broadcast = (body: object, token = KIOSK, headers: Record<string, string> = {}) =>
  server.call('POST /admin/broadcast', { body: JSON.stringify({ data: 1, ...body }), token, headers });
const publish = (room: string, token = KIOSK, headers: Record<string, string> = {}) =>
  server.call(`POST /rooms/${room}`, { body: '1', token, headers });
const targets = () => server.hub.published.map(({ target }) => target);

const ITS = 'the token "kiosk" has the role "publisher" for ["lobby","ops-*"]';

describe('a publisher sends', () => {
  it.each(['lobby', 'ops-1', 'ops-'])('to %s, which its rooms cover', async (room) => {
    expect((await publish(room)).status).toBe(200);
    expect((await broadcast({ rooms: room })).status).toBe(200);
    expect(targets()).toEqual([{ rooms: [room] }, { rooms: [room] }]);
  });

  it.each([['ops-*'], ['ops-1*'], ['ops-*-*'], ['ops-**'], ['lobby', 'ops-1'], ['ops-*', 'lobby', 'ops-2']])(
    'to %s, each covered by one of its rooms',
    async (...rooms) => {
      expect((await broadcast({ rooms })).status).toBe(200);
      expect(targets()).toEqual([{ rooms }]);
    },
  );

  it('at a time, with a key, and for trial', async () => {
    expect((await broadcast({ rooms: 'lobby', in: '1h' })).status).toBe(202);
    expect(await server.broadcasts.list({ limit: 1 })).toHaveLength(1);
    for (const more of [{ key: 'lunch', ttl: '1h' }, { dryRun: true }])
      expect((await broadcast({ rooms: 'lobby', ...more })).status).toBe(200);
    const query = '?event=display.blank&key=lunch&ttl=1h';
    expect((await publish(`lobby${query}`)).status).toBe(200);
  });

  it('to every room where its rooms are *', async () => {
    for (const body of [{}, { rooms: '*' }, { rooms: ['a', '**', 'ops-*'] }])
      expect((await broadcast(body, SIREN)).status).toBe(200);
    expect((await publish('anywhere', SIREN)).status).toBe(200);
    expect(targets()).toEqual([
      {},
      { rooms: ['*'] },
      { rooms: ['a', '**', 'ops-*'] },
      { rooms: ['anywhere'] },
    ]);
  });
});

describe('a publisher is refused', () => {
  it.each([
    ['hall', 'hall'],
    ['Lobby', 'Lobby'],
    ['lobby-2', 'lobby-2'],
    ['ops', 'ops'],
    ['*', '*'],
    ['**', '**'],
    ['ops*', 'ops*'],
    ['*ops-1', '*ops-1'],
    ['l*bby', 'l*bby'],
    [['lobby', 'hall', 'den'], 'hall'],
    [['ops-*', '*'], '*'],
  ])('the rooms %j', async (rooms, foreign) => {
    const { detail } = await problemOf(await broadcast({ rooms }), 403);
    expect(detail).toBe(`${ITS}: it may not send to "${foreign}"`);
    await problemOf(await broadcast({ rooms, dryRun: true }), 403);
    await problemOf(await broadcast({ rooms, at: '2026-11-21T18:00:00Z' }), 403);
    expect([...targets(), ...(await server.broadcasts.list({ limit: 1 }))]).toEqual([]);
  });

  it('a message without a target, which goes to every room', async () => {
    const { detail } = await problemOf(await broadcast({}), 403);
    expect(detail).toBe(
      `${ITS}: it may not send to every room, which is where a message goes that names none`,
    );
  });

  it.each([
    ['devices', ['wall-1']],
    ['connections', ['q8d1-01']],
    ['users', ['ann']],
    ['except', ['q8d1-01']],
    ['except', []],
  ])('%s, beside its rooms and alone, whatever its rooms are', async (kind, names) => {
    for (const token of [KIOSK, SIREN])
      for (const rooms of [{ rooms: 'lobby' }, {}]) {
        const { detail } = await problemOf(await broadcast({ ...rooms, [kind]: names }, token), 403);
        expect(detail).toMatch(new RegExp(`: it may name "rooms", not "${kind}"$`));
      }
    expect(targets()).toEqual([]);
  });

  it.each(['hall', 'lobby-2', 'ops'])('POST /rooms/%s', async (room) => {
    const { detail } = await problemOf(await publish(room), 403);
    expect(detail).toBe(`${ITS}: it may not send to "${room}"`);
    expect(targets()).toEqual([]);
  });

  it('an empty list of rooms as everyone is: it is input that is wrong', async () => {
    await problemOf(await broadcast({ rooms: [] }), 400);
    await problemOf(await broadcast({ rooms: [] }, SIREN), 400);
  });

  it('without repeating all of its rooms', async () => {
    const rooms = Array.from({ length: 1000 }, (_, index) => `room-${index}`);
    server.addToken('many-rooms-token', { name: 'many', role: 'publisher', rooms });
    const { detail } = await problemOf(await publish('hall', 'many-rooms-token'), 403);
    expect(detail.length).toBeLessThan(300);
  });
});

describe('an Idempotency-Key', () => {
  const key = { 'Idempotency-Key': 'k' };

  it('of one token never answers for another, whatever their names and roles', async () => {
    server.addToken('second-kiosk-token', { name: 'kiosk', role: 'publisher', rooms: ['lobby'] });
    for (const token of ['operator-token', KIOSK, SIREN, 'second-kiosk-token']) {
      expect((await publish('lobby', token, key)).status).toBe(200);
      expect((await publish('lobby', token, key)).status).toBe(200);
    }
    expect(server.hub.published).toHaveLength(4);
  });

  it('does not answer a publisher whose rooms were taken away', async () => {
    expect((await broadcast({ rooms: 'ops-1' }, KIOSK, key)).status).toBe(200);
    server.addToken(KIOSK, { name: 'kiosk', role: 'publisher', rooms: ['lobby'] });
    await problemOf(await broadcast({ rooms: 'ops-1' }, KIOSK, key), 403);
  });
});
