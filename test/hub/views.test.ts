import { describe, expect, test } from 'vitest';
import type { ConnectionsQuery } from '../../src/hub/views.ts';
import { otherLines, quiet, stage } from './fixture.ts';

describe('the list of rooms', () => {
  test('tells how many members each has, its last message, and how much is kept', async () => {
    const { hub, connect, visit, say } = await stage({ history: 2 });
    await visit('a');
    const { connection } = connect({}, otherLines);
    await hub.join(connection, ['a', 'b'], undefined);
    for (const n of [1, 2, 3]) await say('a', n);
    expect(await hub.rooms({ limit: 10 })).toEqual([
      {
        name: 'a',
        connections: { websocket: 1, sse: 1 },
        createdAt: '2026-11-20T18:00:00.000Z',
        last: { id: hub.newestId, event: 'message', time: '2026-11-20T18:00:00.000Z' },
        history: 2,
        locked: null,
      },
      expect.objectContaining({ name: 'b', last: null, history: 0 }),
    ]);
    expect(await hub.room('b')).toMatchObject({ name: 'b', connections: { websocket: 0, sse: 1 } });
  });

  test('goes by name, narrowed by a pattern, page after page through churn', async () => {
    const { hub, clock, visit } = await stage();
    const guests = new Map<string, Awaited<ReturnType<typeof visit>>>();
    for (const name of ['d', 'B', 'a-1', 'c', 'a-2']) guests.set(name, await visit(name));
    const names = async (after?: string, match?: string) =>
      (await hub.rooms({ limit: 2, ...(after && { after }), ...(match && { match }) })).map(
        ({ name }) => name,
      );
    expect(await names()).toEqual(['B', 'a-1']);
    const { connection } = guests.get('a-1') ?? (await visit('a-1'));
    hub.disconnect(connection);
    clock.advance(10_000);
    await visit('Z');
    expect(await names('a-1')).toEqual(['a-2', 'c']);
    expect(await names('c')).toEqual(['d']);
    expect(await names('d')).toEqual([]);
    expect(await names(undefined, 'a-*')).toEqual(['a-2']);
  });

  test('is no shorter for a room that goes while the log is read', async () => {
    const { hub, log, visit } = await stage();
    for (const name of ['a', 'b', 'c']) await visit(name);
    log.beforeSince.shut();
    const listed = hub.rooms({ limit: 2 });
    await hub.closeRoom('a', { lockMs: 0, reconnect: false });
    log.beforeSince.open();
    expect((await listed).map(({ name }) => name)).toEqual(['a', 'b']);
  });
});

describe('the list of connections', () => {
  test('tells the peer of each, its rooms and its counters', async () => {
    const { hub, visit, say } = await stage();
    const peer = { device: 'wall', user: 'ann', userAgent: 'curl/8' };
    const { connection } = await visit(['b', 'a'], peer);
    await say('a', 1);
    expect(await hub.connection(connection.id)).toEqual({
      id: connection.id,
      rooms: ['a', 'b'],
      transport: 'websocket',
      ...peer,
      remoteAddress: '192.0.2.1',
      connectedAt: '2026-11-20T18:00:00.000Z',
      lastSeenAt: '2026-11-20T18:00:00.000Z',
      sent: 2,
      conflated: 0,
      bufferedBytes: 0,
      roundTripMs: null,
    });
    await expect(hub.connection('p-nobody')).rejects.toMatchObject({ status: 404 });
  });

  test.each<[string, Omit<ConnectionsQuery, 'limit'>, number[]]>([
    ['nothing', {}, [0, 1, 2, 3]],
    ['a room', { room: 'a' }, [0, 1]],
    ['a device', { device: 'wall' }, [1, 2]],
    ['a user', { user: 'ann' }, [2]],
    ['a transport', { transport: 'sse' }, [3]],
    ['who keeps up', { slow: false }, [0, 1, 2, 3]],
    ['who does not', { slow: true }, []],
    ['several at once', { room: 'b', device: 'wall' }, [2]],
    ['nobody', { room: 'a', user: 'ann' }, []],
  ])('is narrowed by %s', async (_, query, expected) => {
    const { hub, visit, connect } = await stage();
    const guests = [
      await visit('a'),
      await visit('a', { device: 'wall' }),
      await visit('b', { device: 'wall', user: 'ann' }),
    ];
    const sse = connect({}, otherLines);
    await hub.join(sse.connection, ['b'], undefined);
    const ids = [...guests, sse].map(({ connection }) => connection.id);
    const found = await hub.connections({ ...query, limit: 10 });
    expect(found.map(({ id }) => ids.indexOf(id))).toEqual(expected);
  });

  test('goes by id in the order in which they came, each once, page after page through churn', async () => {
    const { hub, visit } = await stage();
    const guests = [];
    for (let n = 0; n < 50; n++) guests.push((await visit('a')).connection);
    const seen: string[] = [];
    let after: string | undefined;
    for (let page = 0; page < 10; page++) {
      const found = await hub.connections({ limit: 7, ...(after && { after }) });
      seen.push(...found.map(({ id }) => id));
      after = found.at(-1)?.id ?? after;
      // The one seen last goes, and one that comes later is the next.
      const gone = guests.find(({ id }) => id === after);
      if (gone) hub.disconnect(gone);
    }
    expect(seen).toEqual([...seen].sort());
    expect(seen).toEqual(guests.map(({ id }) => id));
  });
});

describe('closing a connection', () => {
  test('tells it that an administrator did it and why, and is a 404 the second time', async () => {
    const { hub, visit } = await stage();
    const one = await visit('a');
    const two = await visit('a');
    const closed: unknown[] = [];
    hub.events.on('close', ({ connection, reason }) => closed.push([connection.id, reason.code]));
    await hub.closeConnection(one.connection.id);
    await hub.closeConnection(two.connection.id, 'out of order');
    await expect(hub.closeConnection(one.connection.id)).rejects.toMatchObject({ status: 404 });
    await quiet();
    expect(one.sink.closed).toEqual({ code: 4004, reason: 'closed by an administrator', reconnect: false });
    expect(two.sink.seen).toMatchObject([
      {
        event: 'closing',
        data: { code: 4004, reason: 'out of order', reconnect: false, ends: 'connection' },
      },
    ]);
    expect(closed).toEqual([one, two].map(({ connection }) => [connection.id, 4004]));
  });

  test('says when to come back wherever it may', async () => {
    const { hub, visit } = await stage();
    const { connection, sink } = await visit('a');
    hub.close(connection, { code: 1011, reason: 'internal error', reconnect: true });
    hub.close(connection, { code: 4004, reason: 'again', reconnect: false });
    expect(sink.seen).toHaveLength(1);
    expect(sink.seen[0]?.data).toEqual({
      code: 1011,
      reason: 'internal error',
      reconnect: true,
      retryAfterMs: expect.any(Number),
      ends: 'connection',
    });
  });
});
