import { describe, expect, it } from 'vitest';
import {
  type AccessSettings,
  Admission,
  type AdmissionParts,
  type Caller,
  roomsOf,
} from '../../src/access/admission.ts';
import { ClientAddresses } from '../../src/access/client-address.ts';
import { ConnectionLimiter } from '../../src/access/connection-limits.ts';
import { Origins } from '../../src/access/origins.ts';
import { RoomLimiter } from '../../src/access/room-limits.ts';
import { RoomRules } from '../../src/access/room-rules.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const at = (target: string) => new URL(`http://localhost${target}`);

function refusal(what: () => unknown): Refusal {
  try {
    what();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('it was let through');
}

const RULE = {
  publish: 'nobody',
  history: 10,
  historySeconds: 3600,
  joinHistory: 10,
  slow: 'latest',
  page: { theme: 'auto' },
} as const;

interface AccessRules extends AccessSettings, Pick<AdmissionParts, 'hub' | 'lifecycle' | 'onOriginRefused'> {
  readonly slots: ConnectionLimiter;
  readonly roomLimits: RoomLimiter;
}

function admission({ addresses, origins, rooms, slots, roomLimits, ...more }: AccessRules): Admission {
  const settings = { current: { addresses, origins, rooms } };
  return new Admission({ settings, connections: slots, rooms: roomLimits, ...more });
}

/** Without a token there is nothing to wait for. */
function atOnce<Result>(result: Result | Promise<Result>): Result {
  if (result instanceof Promise) throw new Error('the decision takes a promise');
  return result;
}

const admit = (caller: Caller, rules: AccessRules) => atOnce(admission(rules).check(caller));
const enter = (caller: Caller, rules: AccessRules) => atOnce(admission(rules).enter(caller));

function accessRules(more: Partial<AccessRules> = {}): AccessRules & { refused: string[] } {
  const refused: string[] = [];
  return {
    origins: new Origins({ host: '127.0.0.1', allowedOrigins: ['https://a.example'] }),
    rooms: new RoomRules([
      { ...RULE, match: 'cellar', subscribe: 'nobody' },
      { ...RULE, match: 'vault', subscribe: 'token' },
    ]),
    addresses: new ClientAddresses(['10.0.0.1']),
    roomLimits: roomLimits(),
    slots: slots(),
    hub: { refusalOf: () => undefined },
    lifecycle: { isOpen: true, checkOpen: () => {} },
    onOriginRefused: (origin) => refused.push(origin),
    refused,
    ...more,
  };
}

function roomLimits({ roomCount = 0, roomsPerAddress = 10 } = {}): RoomLimiter {
  return new RoomLimiter({
    settings: {
      current: {
        limits: { rooms: 10, roomsPerConnection: 2, roomsPerAddress },
        rooms: { isNamed: (room) => room === 'named' },
      },
    },
    hub: { roomCount, hasRoom: () => false },
  });
}

function slots({ connections = 10, connectsPerSecond = 10 } = {}): ConnectionLimiter {
  const limits = {
    connections,
    connectionsPerAddress: 1,
    connectsPerSecond,
    connectsPerSecondPerAddress: 10,
  };
  const settings = { current: { limits, addresses: new ClientAddresses([]) } };
  return new ConnectionLimiter({ clock: new ManualClock(), settings });
}

function caller(target: string, headers: Record<string, string> = {}, peerAddress = '10.0.0.9') {
  const all: Record<string, string> = { host: 'localhost:8080', ...headers };
  return { url: at(target), header: (name: string) => all[name], peerAddress };
}

const ask = (target: string, headers?: Record<string, string>, rules = accessRules()) =>
  admit(caller(target, headers), rules);

describe('roomsOf', () => {
  it.each([
    ['/rooms/lobby', ['lobby']],
    ['/rooms/lobby?device=x', ['lobby']],
    ['/rooms/a.b_c:d-e', ['a.b_c:d-e']],
    ['/rooms/a%2Db', ['a-b']],
    [`/rooms/${'x'.repeat(128)}`, ['x'.repeat(128)]],
    ['/rooms/LOBBY', ['LOBBY']],
    ['/rooms?room=a&room=b', ['a', 'b']],
    ['/rooms?room=a&room=a', ['a']],
    ['/rooms/lobby?room=other', ['lobby']],
    ['/rooms/constructor', ['constructor']],
  ])('%s names %j', (target, rooms) => {
    expect(roomsOf(at(target))).toEqual(rooms);
  });

  it.each([
    ['/rooms/', 400],
    ['/rooms', 400],
    ['/rooms?room=', 400],
    ['/rooms?room=a&room=%20', 400],
    ['/rooms/%00', 400],
    ['/rooms/a%2Fb', 400],
    ['/rooms/%zz', 400],
    ['/rooms/%', 400],
    ['/rooms/%ff', 400],
    ['/rooms/a%20b', 400],
    ['/rooms/lobby%0A', 400],
    ['/rooms/.hidden', 400],
    ['/rooms/-x', 400],
    ['/rooms/ops-*', 400],
    ['/rooms/caf%C3%A9', 400],
    [`/rooms/${'x'.repeat(129)}`, 400],
    [`/rooms/${'x'.repeat(200)}`, 400],
    ['/rooms/a/b', 404],
    ['/rooms/lobby/', 404],
    ['/rooms/..', 404],
    ['/rooms/%2e%2e', 404],
    ['/', 404],
    ['//rooms/lobby', 404],
    ['/Rooms/lobby', 404],
    ['/roomsy/lobby', 404],
  ])('%s is refused with %i', (target, status) => {
    expect(refusal(() => roomsOf(at(target))).status).toBe(status);
  });

  it('says which name is wrong, what would do, and where', () => {
    const { message, details } = refusal(() => roomsOf(at('/rooms/a%20b')));
    expect(message).toMatch(/^"a b" is not a room name: 1 to 128 of/);
    expect(details.errors).toEqual([{ path: 'room', message }]);
    expect(refusal(() => roomsOf(at(`/rooms/${'x'.repeat(9000)}`))).message.length).toBeLessThan(400);
  });
});

describe('admit', () => {
  it('says who came, for which rooms, and from where on', () => {
    const headers = { 'user-agent': 'wall/1', 'last-event-id': 'k3-7' };
    expect(ask('/rooms/lobby?device=door%203', headers)).toEqual({
      rooms: ['lobby'],
      since: 'k3-7',
      peer: { device: 'door 3', userAgent: 'wall/1', remoteAddress: '10.0.0.9' },
    });
  });

  it.each([
    ['/rooms/lobby?since=k3-1', {}, 'k3-1'],
    ['/rooms/lobby?since=k3-1', { 'last-event-id': 'k3-9' }, 'k3-9'],
    ['/rooms/lobby?since=k3-1', { 'last-event-id': '' }, 'k3-1'],
    ['/rooms/lobby?since=', {}, undefined],
    ['/rooms/lobby', {}, undefined],
  ])('%s with %j goes on from %j', (target, headers, since) => {
    expect(ask(target, headers).since).toBe(since);
  });

  it.each([
    ['?device=', undefined],
    ['', undefined],
    ['?device=%F0%9F%94%94', '🔔'],
    [`?device=${'d'.repeat(128)}`, 'd'.repeat(128)],
  ])('the query %s is the device %j', (query, device) => {
    expect(ask(`/rooms/lobby${query}`).peer.device).toBe(device);
  });

  it.each([`${'d'.repeat(129)}`, '%00', '%0A', '%E2%80%A8', '%E2%80%8B'])(
    'refuses the device %s',
    (device) => {
      const { status, details } = refusal(() => ask(`/rooms/lobby?device=${device}`));
      expect(status).toBe(400);
      expect(details.errors?.[0]?.path).toBe('device');
    },
  );

  it('looks at the names first, then host, origin, rule, and last at the lock, which passes by itself', () => {
    const evil = { host: 'evil.example', origin: 'https://evil.example' };
    const locked = accessRules({ hub: { refusalOf: () => new Refusal(423, 'locked') } });
    expect(refusal(() => ask('/rooms/-', evil, locked)).status).toBe(400);
    expect(refusal(() => ask('/rooms/cellar?device=%00', evil, locked)).status).toBe(400);
    expect(refusal(() => ask('/rooms/cellar', evil, locked)).status).toBe(421);
    expect(refusal(() => ask('/rooms/cellar', { origin: 'https://evil.example' }, locked)).status).toBe(403);
    expect(refusal(() => ask('/rooms/cellar', {}, locked)).message).toMatch(/rooms\[0\]\.subscribe/);
    expect(refusal(() => ask('/rooms/vault', {}, locked)).status).toBe(401);
    expect(refusal(() => ask('/rooms/lobby', {}, locked)).status).toBe(423);
  });

  it('refuses before it has read anything of a request while the server drains, is full or asked too fast', () => {
    const unread = {
      get url(): URL {
        throw new Error('the address was read');
      },
      header: () => {
        throw new Error('a header was read');
      },
      peerAddress: '10.0.0.9',
    };
    const draining = accessRules({
      lifecycle: {
        isOpen: false,
        checkOpen() {
          throw new Refusal(503, 'draining');
        },
      },
    });
    expect(refusal(() => enter(unread, draining)).message).toBe('draining');
    expect(refusal(() => admit(unread, draining)).message).toBe('draining');
    const full = accessRules({ slots: slots({ connections: 0 }) });
    expect(refusal(() => enter(unread, full)).message).toContain('limits.connections');
    const tooFast = accessRules({ slots: slots({ connectsPerSecond: 1 }) });
    enter(caller('/rooms/lobby'), tooFast);
    expect(refusal(() => enter(unread, tooFast)).message).toContain('limits.connectsPerSecond');
    // What is answered at once takes no connection.
    expect(admit(caller('/rooms/lobby'), tooFast).rooms).toEqual(['lobby']);
  });

  it('hears of each origin that was turned away, and of nothing else', () => {
    const rules = accessRules();
    refusal(() => ask('/rooms/lobby', { origin: 'https://evil.example' }, rules));
    refusal(() => ask('/rooms/lobby', { origin: 'https://evil.example', host: 'evil.example' }, rules));
    refusal(() => ask('/rooms/lobby', { origin: 'y'.repeat(9000) }, rules));
    ask('/rooms/lobby', { origin: 'https://a.example' }, rules);
    expect(rules.refused).toEqual(['https://evil.example', 'y'.repeat(200)]);
  });

  it('looks up no rule for rooms that are more than one connection may be in', () => {
    let lookedUp = 0;
    const rooms = new RoomRules([]);
    rooms.checkSubscribe = () => void lookedUp++;
    const names = Array.from({ length: 1000 }, (_, index) => `room=r${index}`);
    const refused = refusal(() => ask(`/rooms?${names.join('&')}`, {}, accessRules({ rooms })));
    expect(refused).toMatchObject({
      status: 400,
      message: expect.stringContaining('limits.roomsPerConnection'),
    });
    expect(lookedUp).toBe(0);
  });

  it('refuses all rooms where one is forbidden or malformed', () => {
    expect(refusal(() => ask('/rooms?room=lobby&room=cellar')).status).toBe(403);
    expect(refusal(() => ask('/rooms?room=lobby&room=-')).status).toBe(400);
  });

  it('refuses for a lock only where no room is left', () => {
    const locked = accessRules({
      hub: { refusalOf: (room) => (room === 'open' ? undefined : new Refusal(423, `${room} is locked`)) },
    });
    expect(ask('/rooms?room=a&room=open', {}, locked).rooms).toEqual(['a', 'open']);
    expect(refusal(() => ask('/rooms?room=a&room=b', {}, locked)).message).toBe('a is locked');
  });

  it('refuses for the lock that ends first', () => {
    const leftMs: Record<string, number | undefined> = { good: undefined, long: 9000, short: 1000 };
    const lockOf = (room: string) => {
      const retryAfterMs = leftMs[room];
      return new Refusal(423, room, retryAfterMs === undefined ? {} : { retryAfterMs });
    };
    const locked = accessRules({ hub: { refusalOf: lockOf } });
    expect(refusal(() => ask('/rooms?room=good&room=short', {}, locked)).message).toBe('short');
    expect(refusal(() => ask('/rooms?room=long&room=short', {}, locked)).message).toBe('short');
  });
});

describe('enter', () => {
  const come = (target: string, rules: AccessRules) => () => enter(caller(target), rules);

  it('admits, and takes a slot until it is released', () => {
    const rules = accessRules();
    const { slot, reservation: _, ...admitted } = enter(caller('/rooms/lobby'), rules);
    expect(admitted).toEqual(ask('/rooms/lobby', {}, rules));
    expect(rules.slots.taken).toBe(1);
    slot.release();
    expect(rules.slots.taken).toBe(0);
  });

  it('takes no slot for a client that is refused', () => {
    const rules = accessRules({ roomLimits: roomLimits({ roomCount: 10 }) });
    expect(refusal(come('/rooms/cellar', rules)).status).toBe(403);
    expect(refusal(come('/rooms/lobby', rules)).message).toContain('limits.rooms');
    expect(refusal(come('/rooms?room=a&room=b&room=c', rules))).toMatchObject({
      status: 400,
      message: expect.stringContaining('limits.roomsPerConnection'),
    });
    expect(rules.slots.taken).toBe(0);
  });

  it('counts rooms for a client that gets a slot, and for no other', () => {
    const rules = accessRules({
      roomLimits: roomLimits({ roomsPerAddress: 2 }),
      slots: slots({ connections: 1 }),
    });
    const first = enter(caller('/rooms?room=a&room=b'), rules);
    first.slot.release();
    expect(refusal(come('/rooms/c', rules))).toMatchObject({
      status: 429,
      message: expect.stringContaining('limits.roomsPerAddress'),
      details: { closing: { code: 1013, reconnect: true } },
    });
    expect(rules.slots.taken).toBe(0);
    enter(caller('/rooms/named'), rules);
    expect(refusal(() => enter(caller('/rooms/d', {}, '10.0.0.8'), rules)).status).toBe(503);
    expect(rules.roomLimits.remembered).toBe(2);
  });

  it('reserves rooms until they are released', () => {
    const rules = accessRules({ roomLimits: roomLimits({ roomCount: 9 }) });
    const { slot, reservation } = enter(caller('/rooms/a', {}, '10.0.0.7'), rules);
    expect(refusal(come('/rooms/b', rules)).message).toContain('limits.rooms');
    slot.release();
    reservation.release();
    expect(rules.slots.taken).toBe(0);
    enter(caller('/rooms/b'), rules);
  });

  it('refuses when all slots are taken, or all that one address may have', () => {
    const full = accessRules({ slots: slots({ connections: 0 }) });
    expect(refusal(come('/rooms/lobby', full)).status).toBe(503);
    const rules = accessRules();
    enter(caller('/rooms/lobby'), rules);
    expect(refusal(come('/rooms/lobby', rules)).status).toBe(429);
  });

  it('counts who comes through a trusted proxy by the address that it names', () => {
    const rules = accessRules();
    const through = (address: string) =>
      enter(caller('/rooms/lobby', { 'x-forwarded-for': address }, '10.0.0.1'), rules).peer.remoteAddress;
    expect(through('192.0.2.1')).toBe('192.0.2.1');
    expect(through('192.0.2.2')).toBe('192.0.2.2');
    expect(refusal(() => through('192.0.2.1')).status).toBe(429);
  });
});
