import { type BelfryConfig, type BelfryOptions, TOKEN } from '../harness/belfry.ts';
import { flood, talk } from './client-frames.ts';
import { type Attack, pipeline, send, sendAndReset, trickle, webSockets } from './sockets.ts';

/** An attack, and the server that it is made on. */
export interface Attacked {
  readonly name: string;
  /** In words. */
  readonly does: string;
  /** Besides the room of the good clients and their clock. */
  readonly config?: BelfryConfig;
  readonly options?: BelfryOptions;
  readonly before?: Before;
  readonly attack: Attack;
  /** A room that is empty, and that a client from elsewhere joins while the attack goes on. */
  readonly enters?: string;
}

/** An attack for some time before anything is measured. */
interface Before {
  readonly attack: Attack;
  readonly seconds: number;
  /** Where given, what was done stays, and the attack begins once there are so many rooms. */
  readonly rooms?: number;
}

/** The rooms of the good clients. */
export const WALLS = ['wall-*'];

const SHIPPED: BelfryConfig = {
  rooms: [{ match: 'lobby', publish: 'members', history: 100 }],
  schedules: [{ name: 'shipped', every: '3s', rooms: ['lobby'], feed: { type: 'time' } }],
};
const feed = { type: 'time' };

const get = (target: string, headers = '') => `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;

/** The server closes the connection, and the call is repeated at its interval. */
const OPERATOR = `Authorization: Bearer ${TOKEN}\r\nConnection: close\r\n`;

function broadcast(body: object): string {
  const text = JSON.stringify(body);
  return `POST /admin/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\n${OPERATOR}Content-Length: ${text.length}\r\n\r\n${text}`;
}

const ONCE_A_SECOND = { connections: 1, everyMs: 1000 };

const publish = (bytes: number) => JSON.stringify({ action: 'publish', data: 'x'.repeat(bytes) });

/** A path of 100 rooms. */
const hundredRooms = (prefix: string) =>
  `/rooms?${Array.from({ length: 100 }, (_, index) => `room=${prefix}-${index}`).join('&')}`;

/** A connection that is refused or cut is not opened again. */
const JOINING = { atOnce: 10, everyMs: Number.POSITIVE_INFINITY };

/** Rooms that the good clients are not in. Such patterns take longest: all but the end of the name fits. */
const FOREIGN = `a-${'a'.repeat(60)}`;
const foreigners = webSockets(hundredRooms(`${FOREIGN}-{n}`), { connections: 100, ...JOINING });
/** All rooms of theirs, and that of the good clients. */
const ROOMS = 10_001;
const MANY_ROOMS: BelfryConfig = { limits: { rooms: ROOMS } };
const FOREIGNERS_STAY: Before = { attack: foreigners, seconds: 24 * 3600, rooms: ROOMS };

const BOARDS = Array.from({ length: 20 }, (_, index) => {
  const board = { type: 'message', data: 'x'.repeat(10_000) };
  return { name: `board-${index}`, every: '1h', rooms: ['joined-*'], feed: board };
});
const ELSEWHERE = Array.from({ length: 100 }, (_, index) => {
  return { name: `elsewhere-${index}`, every: '1s', rooms: ['elsewhere-*', 'else-*-where'], feed };
});
const LONG_TEXT = {
  name: 'text',
  every: '1h',
  rooms: ['text'],
  feed: { type: 'message', data: 'a'.repeat(60_000) },
};
/** Fills the send queue of a client that does not read. */
const LARGE_TICKS = {
  name: 'large',
  every: '500ms',
  rooms: ['wall-unread'],
  feed: { type: 'message', data: 'x'.repeat(20_000) },
};
const ECHO = JSON.stringify({ action: 'echo', data: 'x'.repeat(100) });
const COMMAND = { name: 'command', every: '1s', rooms: WALLS, feed: { type: 'command', argv: ['date'] } };
const PATTERNS = Array.from({ length: 1000 }, (_, index) => `${'*a'.repeat(60)}*b${index}*`);
const DEEP_LINES = [
  `{"action":"echo","data":"${'\\"'.repeat(8000)}`,
  '["\\'.repeat(5400),
  `{"action":"echo","data":${'['.repeat(16_000)}`,
];
/** Each is refused and logged. */
const STRANGER = get('/rooms/lobby', 'Origin: https://stranger-{n}.example\r\nConnection: close\r\n');
const HALF_HANDSHAKE = get(
  '/rooms/half',
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Ver',
).slice(0, -2);
/** A connection that is cut at once is opened again after a second. */
const BARE = { atOnce: 100, everyMs: 1000 };

export const ATTACKS: readonly Attacked[] = [
  {
    name: 'h2c',
    does: 'an upgrade to h2c pipelined behind a request',
    attack: send(get('/livez') + get('/livez', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), {
      connections: 10,
    }),
  },
  {
    name: 'publishers',
    does: '100 members of the lobby publish 15 KB 20 times a second',
    config: SHIPPED,
    attack: webSockets('/rooms/lobby', { connections: 100, use: talk([publish(15_000)], 20) }),
  },
  {
    name: 'small-publishers',
    does: '300 members of the lobby publish 100 B 20 times a second',
    config: SHIPPED,
    attack: webSockets('/rooms/lobby', { connections: 300, use: talk([publish(100)], 20) }),
  },
  {
    name: 'joins',
    does: '812 join 100 rooms with 20 schedules of 10 KB and never read',
    config: { schedules: BOARDS },
    attack: webSockets(hundredRooms('joined'), { connections: 812, reads: false, ...JOINING }),
  },
  {
    name: 'unread-answers',
    does: '20 sockets pipeline 64 KB of GET /rooms/lobby?limit=1000 and do not read',
    config: SHIPPED,
    before: {
      attack: send(broadcast({ rooms: 'lobby', data: 'x'.repeat(2400) }), { connections: 1 }),
      seconds: 4,
    },
    attack: pipeline(get('/rooms/lobby?limit=1000'), { connections: 20, reads: false, mostBytes: 65_536 }),
  },
  {
    name: 'pipelines',
    does: '20 sockets pipeline small requests',
    attack: pipeline(get('/livez'), { connections: 20 }),
  },
  {
    name: 'deep-lines',
    does: '5 WebSockets send quotes and brackets, 16 KB 20 times a second',
    attack: webSockets('/rooms/deep', { connections: 5, use: talk(DEEP_LINES, 20) }),
  },
  {
    name: 'openapi',
    does: '20 sockets pipeline GET /openapi.yaml',
    attack: pipeline(get('/openapi.yaml'), { connections: 20, mostBytes: 65_536 }),
  },
  {
    name: 'control-frames',
    does: '50 WebSockets send pings and pongs without a pause',
    attack: webSockets('/rooms/flooded', { connections: 50, use: flood }),
  },
  {
    name: 'broadcast',
    does: 'an operator sends 60 KB to 10,000 rooms',
    config: MANY_ROOMS,
    before: FOREIGNERS_STAY,
    attack: send(broadcast({ rooms: `${FOREIGN}-*`, data: 'x'.repeat(60_000) }), ONCE_A_SECOND),
  },
  {
    name: 'patterns',
    does: 'an operator sends to 1,000 patterns over 10,000 rooms',
    config: MANY_ROOMS,
    before: FOREIGNERS_STAY,
    attack: send(broadcast({ rooms: PATTERNS, data: 1 }), ONCE_A_SECOND),
  },
  {
    name: 'config-text',
    does: 'an operator reads a configuration with 60 KB of text',
    config: { schedules: [LONG_TEXT] },
    attack: send(get('/admin/config', OPERATOR), ONCE_A_SECOND),
  },
  {
    name: 'foreign-rooms',
    does: '10,000 rooms are opened that none of 100 schedules reaches',
    config: { ...MANY_ROOMS, schedules: ELSEWHERE },
    attack: foreigners,
  },
  {
    name: 'bare-sockets',
    does: '6,000 sockets without a request, limits.sockets being 5,000',
    config: { limits: { sockets: 5000 } },
    attack: send('', { connections: 6000, ...BARE }),
  },
  {
    name: 'half-handshakes',
    does: '3,000 sockets that send half a handshake',
    attack: send(HALF_HANDSHAKE, { connections: 3000, ...BARE }),
  },
  {
    name: 'slow-handshakes',
    does: '1,000 sockets send a handshake, one byte a second',
    attack: trickle(HALF_HANDSHAKE, { connections: 1000, ...BARE }),
  },
  {
    name: 'resets',
    does: '1,000 sockets send half a handshake and reset, once a second each',
    attack: sendAndReset(HALF_HANDSHAKE, { connections: 1000, ...BARE }),
  },
  {
    name: 'never-read',
    does: '1,000 WebSockets that join the room of the good clients and never read',
    config: { schedules: [LARGE_TICKS] },
    attack: webSockets('/rooms/wall-unread', { connections: 1000, reads: false, ...JOINING }),
  },
  {
    name: 'one-address',
    does: '1,000 sockets of one address behind a proxy, of which 100 may connect, come once a second each',
    config: {
      server: { trustProxy: ['127.0.0.0/8'] },
      limits: { connectionsPerAddress: 100, connectsPerSecond: 1000 },
    },
    attack: webSockets('/rooms/crowd', {
      ...{ connections: 1000, ...BARE },
      headers: 'X-Forwarded-For: 203.0.113.7\r\n',
    }),
  },
  {
    name: 'messages',
    does: '1,000 WebSockets send 10 messages a second each',
    attack: webSockets('/rooms/talk-{n}', { connections: 1000, atOnce: 50, use: talk([ECHO], 10) }),
  },
  {
    name: 'descriptors',
    does: 'more sockets than there are descriptors, with a feed that runs a command',
    config: { schedules: [COMMAND] },
    options: { shell: 'ulimit -n 1200; exec "$@"' },
    attack: send('', { connections: 1000, ...BARE }),
  },
  {
    name: 'cut-log',
    does: 'the reader of the log has gone (serve | head -1), and refused requests are logged',
    options: { shell: 'exec "$@" > >(head -1 > /dev/null)' },
    attack: send(STRANGER, { connections: 5 }),
  },
  {
    name: 'full-disk',
    does: 'the disk under the log is full (> /dev/full), and refused requests are logged',
    options: { shell: 'exec "$@" > /dev/full' },
    attack: send(STRANGER, { connections: 5 }),
  },
  {
    name: 'all-rooms',
    does: 'one address behind a proxy opens all rooms; another one enters the empty lobby',
    config: { ...SHIPPED, ...MANY_ROOMS, server: { trustProxy: ['127.0.0.0/8'] } },
    attack: webSockets(hundredRooms('opened-{n}'), {
      connections: 300,
      headers: 'X-Forwarded-For: 203.0.113.7\r\n',
      ...JOINING,
    }),
    enters: 'lobby',
  },
];
