import { describe, expect, test } from 'vitest';
import type { Target } from '../../src/hub/event.ts';
import type { Publication } from '../../src/hub/publication.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { dataOf, otherLines, quiet, stage } from './fixture.ts';

const broadcast = (target: Target, data: unknown = 'x', more: Partial<Publication> = {}): Publication => ({
  target,
  event: 'message',
  data: JSON.stringify(data),
  ...more,
});

describe('publishing', () => {
  test('gives each message an id and every member of the room the same text', async () => {
    const { hub, visit } = await stage();
    const [one, two] = [await visit('a'), await visit('a')];
    const published = await hub.publish(broadcast({ rooms: ['a'] }, { text: 'hello' }));
    await quiet();
    expect(published).toEqual({
      id: hub.newestId,
      rooms: ['a'],
      connections: 2,
      unreached: [],
      unknown: [],
      kept: true,
    });
    expect(one.sink.seen).toEqual([
      {
        id: published.id,
        room: 'a',
        event: 'message',
        time: '2026-11-20T18:00:00.000Z',
        data: { text: 'hello' },
      },
    ]);
    expect(two.sink.seen).toEqual(one.sink.seen);
  });

  test('to several rooms is one message in each, and the answer has the last id', async () => {
    const { hub, visit } = await stage();
    const both = await visit(['a', 'b']);
    const other = await visit('b');
    const { id, rooms, connections } = await hub.publish(broadcast({ rooms: ['b', 'a', 'empty'] }));
    await quiet();
    expect([rooms, connections]).toEqual([['a', 'b'], 2]);
    expect(both.sink.seen.map(({ room }) => room)).toEqual(['b', 'a']);
    expect(other.sink.seen).toHaveLength(1);
    expect(id).toMatch(/-3$/);
    const { messages } = await hub.history('empty', undefined);
    expect(messages.map((message) => message.id)).toEqual([id]);
  });

  test.each<[string, Target, string[], string[]]>([
    ['every room where nobody is named', {}, ['a1', 'a2', 'b1', 'ab'], []],
    ['a pattern', { rooms: ['room-*'] }, ['a1', 'a2', 'b1', 'ab'], []],
    ['one room', { rooms: ['room-b'] }, ['b1', 'ab'], []],
    ['a device, on all its connections', { devices: ['wall'] }, ['a1', 'b1'], []],
    ['a connection', { connections: ['p-00000001'] }, ['a2'], []],
    ['a user', { users: ['ann'] }, ['a2'], []],
    ['nobody, where the list is empty', { devices: [] }, [], []],
    [
      'the union of all',
      { rooms: ['room-b'], devices: ['wall'], users: ['ann'] },
      ['b1', 'ab', 'a1', 'a2'],
      [],
    ],
    ['all but some', { rooms: ['*'], except: ['p-00000001', 'p-00000002', 'gone'] }, ['a1', 'ab'], []],
    ['a device but not one of its connections', { devices: ['wall'], except: ['p-00000000'] }, ['b1'], []],
    [
      'and names who is not here, once',
      { devices: ['wall', 'x', 'x'], connections: ['p-9'], users: ['bob'] },
      ['a1', 'b1'],
      ['x', 'p-9', 'bob'],
    ],
    ['no room that does not exist yet', { rooms: ['other-*'] }, [], []],
  ])('reaches %s', async (_, target, reached, unreached) => {
    const { hub, visit } = await stage();
    const guests = {
      a1: await visit('room-a', { device: 'wall' }),
      a2: await visit('room-a', { user: 'ann' }),
      b1: await visit('room-b', { device: 'wall' }),
      ab: await visit(['room-a', 'room-b']),
    };
    const dry = await hub.publish(broadcast(target, 'x', { dryRun: true }));
    await quiet();
    for (const { sink } of Object.values(guests)) expect(sink.seen).toEqual([]);
    const published = await hub.publish(broadcast(target));
    await quiet();
    const heard = Object.entries(guests).filter(([, { sink }]) => sink.seen.length > 0);
    expect(heard.map(([name]) => name).sort()).toEqual([...reached].sort());
    expect(published.connections).toBe(reached.length);
    expect([...published.unreached].sort()).toEqual([...unreached].sort());
    expect(dry).toEqual({ ...published, id: null });
  });

  test('to one by itself has no room and no id, is in no history, and comes once', async () => {
    const { hub, visit } = await stage();
    const { connection, sink } = await visit('a', { device: 'wall', user: 'ann' });
    const before = hub.newestId;
    const target = { devices: ['wall'], connections: [connection.id], users: ['ann'] };
    expect(await hub.publish(broadcast(target))).toMatchObject({ id: null, rooms: [], connections: 1 });
    await quiet();
    expect(sink.seen).toEqual([{ event: 'message', time: '2026-11-20T18:00:00.000Z', data: 'x' }]);
    expect(hub.newestId).toBe(before);
    expect((await hub.history('a', undefined)).messages).toEqual([]);
  });

  test('to a client that is reached through a room as well comes once, with the room', async () => {
    const { hub, visit } = await stage();
    const { sink } = await visit('a', { device: 'wall' });
    const { sink: elsewhere } = await visit('b', { device: 'wall' });
    const { connections } = await hub.publish(broadcast({ rooms: ['a'], devices: ['wall'] }));
    await quiet();
    expect(connections).toBe(2);
    expect(sink.seen.map(({ room }) => room)).toEqual(['a']);
    expect(elsewhere.seen.map(({ room }) => room)).toEqual([undefined]);
  });

  test('tells which client published, and may leave that one out', async () => {
    const { hub, visit } = await stage();
    const sender = await visit('a', { device: 'wall', user: 'ann' });
    const other = await visit('a');
    const from = sender.connection.sender;
    await hub.publish(broadcast({ rooms: ['a'], except: [sender.connection.id] }, 1, { from }));
    await hub.publish(broadcast({ rooms: ['a'] }, 2, { from }));
    await quiet();
    expect(dataOf(sender.sink.seen)).toEqual([2]);
    expect(dataOf(other.sink.seen)).toEqual([1, 2]);
    expect(other.sink.seen[0]?.from).toEqual({
      connection: sender.connection.id,
      device: 'wall',
      user: 'ann',
    });
  });

  test('is encoded once for each wire format, and the bytes are shared', async () => {
    const { hub, connect, say } = await stage();
    const guests = [connect(), connect(), connect({}, otherLines), connect({}, otherLines)];
    for (const { connection } of guests) await hub.join(connection, ['a'], undefined);
    await quiet();
    for (const { sink } of guests) sink.news();
    await say('a');
    const [one, two, three, four] = guests.map(({ sink }) => sink.writes[0]);
    expect(one).toBe(two);
    expect(three).toBe(four);
    expect(one).not.toBe(three);
  });

  test('keeps the order of one sender, whatever is addressed how', async () => {
    const { hub, log, visit } = await stage();
    const { connection, sink } = await visit('a');
    log.beforeAppend.shut();
    const first = hub.publish(broadcast({ rooms: ['a'] }, 1));
    await quiet();
    const rest = [
      hub.publish(broadcast({ connections: [connection.id] }, 2)),
      hub.publish(broadcast({ rooms: ['a'] }, 3)),
      hub.publish(broadcast({}, 4)),
    ];
    await quiet();
    expect(sink.seen).toEqual([]);
    log.beforeAppend.open();
    await Promise.all([first, ...rest]);
    await quiet();
    expect(dataOf(sink.seen)).toEqual([1, 2, 3, 4]);
  });

  test('in one iteration is one append', async () => {
    const { hub, log } = await stage();
    await Promise.all([1, 2, 3].map((n) => hub.publish(broadcast({ rooms: ['a', 'b'] }, n))));
    expect(log.appends.map((entries) => entries.map(({ room, data }) => `${room}${data}`))).toEqual([
      ['a1', 'b1', 'a2', 'b2', 'a3', 'b3'],
    ]);
  });
});

describe('the checks', () => {
  const from = { connection: 'p-1' };
  test.each<[string, Partial<Publication>, number, string]>([
    ['an empty event', { event: '' }, 400, '""'],
    ['an event with a space', { event: 'two words' }, 400, '"two words"'],
    ['an event of 65 characters', { event: 'e'.repeat(65) }, 400, 'up to 63'],
    ['an event that begins with a digit', { event: '1st' }, 400, '"1st"'],
    ['hello', { event: 'hello' }, 400, '"hello"'],
    ['closing', { event: 'closing' }, 400, '"closing"'],
    ['status', { event: 'status' }, 400, '"status"'],
    ['heartbeat', { event: 'heartbeat', from }, 400, '"heartbeat"'],
    ['display.* of a client', { event: 'display.url', from }, 400, '"display.url"'],
    ['a room that begins with a dot', { target: { rooms: ['.x'] } }, 400, '".x"'],
    ['an empty room', { target: { rooms: [''] } }, 400, '""'],
    ['a room of 129 characters', { target: { rooms: ['r'.repeat(129)] } }, 400, 'not a room pattern'],
    ...([null, 42, 'lobby', ['lobby']] as unknown[]).map(
      (target): [string, Partial<Publication>, number, string] => [
        `the target ${JSON.stringify(target)}`,
        { target: target as Target },
        400,
        'is not a target',
      ],
    ),
    ...['rooms', 'devices', 'connections', 'users', 'except'].flatMap((key) =>
      ['lobby', [1], [null], {}, null].map((named): [string, Partial<Publication>, number, string] => [
        `${JSON.stringify(named)} for ${key}`,
        { target: { rooms: ['a'], [key]: named } },
        400,
        `${JSON.stringify(named)} is not a list of strings`,
      ]),
    ),
    ['one byte too many', { data: JSON.stringify('x'.repeat(64 * 1024 - 1)) }, 413, 'limits.eventBytes'],
    ['too many bytes in few characters', { data: JSON.stringify('é'.repeat(40_000)) }, 413, '80002'],
  ])('refuses %s, also in a dry run', async (_, wrong, status, words) => {
    const { hub, visit, log } = await stage();
    const { sink } = await visit('a');
    for (const dryRun of [false, true]) {
      const refused = hub.publish({ ...broadcast({ rooms: ['a'] }), ...wrong, dryRun });
      await expect(refused).rejects.toMatchObject({ status, message: expect.stringContaining(words) });
    }
    await quiet();
    expect(sink.seen).toEqual([]);
    expect(log.appends).toEqual([]);
  });

  test('lets pass what is just within', async () => {
    const { hub } = await stage();
    const data = JSON.stringify('x'.repeat(64 * 1024 - 2));
    await hub.publish({ target: { rooms: ['r'.repeat(128)] }, event: 'e'.repeat(64), data });
    await hub.publish(broadcast({ rooms: ['a*'] }, 'x', { event: 'display.url' }));
    expect(hub.totals.published).toBe(1);
  });
});

describe('a log that', () => {
  test('cannot number is a 503 to the sender; nothing is delivered, ticks and devices go on', async () => {
    const { hub, log, visit, tick, faults, say } = await stage();
    const { connection, sink } = await visit('a');
    log.appendFailure = new Error('disk full');
    await expect(hub.publish(broadcast({ rooms: ['a'] }))).rejects.toMatchObject({ status: 503 });
    expect(faults).toHaveLength(1);
    tick('a', 1);
    expect(await hub.publish(broadcast({ connections: [connection.id] }, 2))).toMatchObject({
      connections: 1,
    });
    await quiet();
    log.appendFailure = undefined;
    await say('a', 3);
    expect(dataOf(sink.seen)).toEqual([1, 2, 3]);
    expect(hub.totals.published).toBe(1);
  });

  test('has not stored yet delivers at once and answers later', async () => {
    const { hub, log, visit } = await stage();
    const { sink } = await visit('a');
    log.stored.shut();
    let answered = false;
    const published = hub.publish(broadcast({ rooms: ['a'] })).then(() => {
      answered = true;
    });
    await quiet();
    expect([sink.seen.length, answered]).toEqual([1, false]);
    log.stored.open();
    await published;
    expect(answered).toBe(true);
  });

  test('never stores tells the sender, and the fault is reported once', async () => {
    const { hub, log, visit, faults } = await stage();
    const { sink } = await visit('a');
    log.storedFailure = new Error('power cut');
    const answers = await Promise.allSettled([1, 2].map((n) => hub.publish(broadcast({ rooms: ['a'] }, n))));
    await quiet();
    for (const answer of answers)
      expect(answer).toMatchObject({ status: 'rejected', reason: { status: 503 } });
    expect(dataOf(sink.seen)).toEqual([1, 2]);
    expect(faults).toHaveLength(1);
  });

  test('has numbered but not answered shows nothing of it to a client that polls', async () => {
    const { hub, log, say } = await stage();
    await say('a', 1);
    log.afterAppend.shut();
    const published = hub.publish(broadcast({ rooms: ['a'] }, 2));
    await quiet();
    const last = hub.newestId;
    expect((await hub.history('a', undefined)).messages.map(({ id }) => id)).toEqual([last]);
    log.afterAppend.open();
    await published;
    expect((await hub.history('a', last)).messages).toHaveLength(1);
  });
});

describe('a listener that', () => {
  test('throws or rejects is reported and harms no other', async () => {
    const { hub, visit, say, faults } = await stage();
    const heard: string[] = [];
    hub.events.on('message', () => {
      throw new Error('listener');
    });
    hub.events.on('message', async () => {
      throw new Error('async listener');
    });
    hub.events.once('message', ({ room = '' }) => heard.push(room));
    const { sink } = await visit('a');
    await say('a', 1);
    await say('a', 2);
    expect(dataOf(sink.seen)).toEqual([1, 2]);
    expect(heard).toEqual(['a']);
    expect(faults).toEqual(Array(4).fill('a listener of "message" threw'));
  });

  test('publishes at once is heard after what it answers to', async () => {
    const { hub, visit, say } = await stage();
    const { sink } = await visit(['a', 'b']);
    hub.events.once('message', () => void hub.publish(broadcast({ rooms: ['a'] }, 'echo')));
    await hub.publish(broadcast({ rooms: ['a', 'b'] }, 'first'));
    await say('a', 'last');
    expect(dataOf(sink.seen)).toEqual(['first', 'first', 'echo', 'last']);
  });
});

describe('a tick', () => {
  test('goes to all rooms of its patterns that have members, and is counted', async () => {
    const { hub, visit } = await stage();
    const one = await visit('room-a');
    const two = await visit('room-b');
    const { connection: gone } = await visit('room-c');
    hub.disconnect(gone);
    const seen: string[] = [];
    const data = (room: string) => {
      seen.push(room);
      return JSON.stringify(room);
    };
    const event = { event: 'time', time: '2026-11-20T18:00:00.000Z' };
    const { rooms, connections, bytes } = hub.deliver({ rooms: ['room-*'], event, data });
    await quiet();
    expect([rooms, connections]).toEqual([2, 2]);
    expect(seen).toEqual(['room-a', 'room-b']);
    expect(bytes).toBe([one, two].reduce((sum, { sink }) => sum + (sink.writes[0]?.length ?? 0), 0));
    expect(dataOf(two.sink.seen)).toEqual(['room-b']);
    expect([hub.anyone(['room-c']), hub.anyone(['room-*'])]).toEqual([false, true]);
  });

  test('touches no log', async () => {
    const { visit, tick, log, hub } = await stage();
    const { sink } = await visit('a');
    const before = hub.newestId;
    log.beforeAppend.shut();
    tick('a', 1);
    await quiet();
    expect(sink.seen).toHaveLength(1);
    expect([hub.newestId, hub.totals.published, log.appends.length]).toEqual([before, 0, 0]);
  });
});

describe('publishing to very many', () => {
  test('rooms delivers a part at a time, in the order of the ids, and holds the event loop only so long', async () => {
    const clock = new ManualClock();
    let busyMs = 0;
    const monotonic = clock.monotonic.bind(clock);
    clock.monotonic = () => monotonic() + busyMs;
    const { hub, visit } = await stage({ clock });
    const guests = [];
    for (let n = 0; n < 600; n++) guests.push(await visit(`room-${n}`));
    for (const { sink } of guests)
      sink.onWrite = () => {
        busyMs += 0.5;
      };
    let turns = 0;
    const count = () => {
      turns++;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    const published = await hub.publish(broadcast({ rooms: ['*'] }, 'x'.repeat(60_000)));
    while (guests.some(({ sink }) => sink.seen.length === 0)) await settled();
    clearImmediate(timer);
    expect(published).toMatchObject({ connections: 600 });
    // 600 writes of half a millisecond in slices of ten.
    expect(turns).toBeGreaterThan(8);
    const ids = guests.map(({ sink }) => Number(sink.seen[0]?.id?.split('-')[1]));
    expect(new Set(ids).size).toBe(600);
  });

  test('a client that joins in the midst of it has the message once', async () => {
    const { hub, visit, connect } = await stage();
    for (let n = 0; n < 300; n++) await visit(`room-${n}`);
    const since = (await hub.publish(broadcast({ rooms: ['room-0'] }, 0))).id ?? '';
    const publishing = hub.publish(broadcast({ rooms: ['*'] }, 'x'.repeat(60_000)));
    const late = [];
    for (let turn = 0; turn < 20; turn++) {
      const guest = connect();
      late.push(guest);
      await hub.join(guest.connection, ['room-299'], since);
    }
    await publishing;
    await quiet();
    for (const { sink } of late) expect(sink.seen.filter(({ event }) => event === 'message')).toHaveLength(1);
  });

  test('patterns is refused with the number that would do', async () => {
    const { hub } = await stage();
    const patterns = Array.from({ length: 101 }, (_, n) => `*${n}*`);
    await expect(hub.publish(broadcast({ rooms: patterns }))).rejects.toMatchObject({
      status: 400,
      message: '101 patterns with * are too many: name at most 100 in one call',
    });
    const names = Array.from({ length: 1000 }, (_, n) => `room-${n}`);
    expect(await hub.publish(broadcast({ rooms: names }))).toMatchObject({ connections: 0 });
  });
});
