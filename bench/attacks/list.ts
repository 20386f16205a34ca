import { type BelfryConfig, type BelfryProcess, TOKEN } from '../servers/belfry.ts';
import type { Attack, Join } from './api.ts';

/** An attack, and the server that it is made on. */
export interface Attacked {
  readonly name: string;
  /** What is done. */
  readonly says: string;
  /** Besides the room of the good clients and their clock. */
  readonly config?: BelfryConfig;
  readonly process?: BelfryProcess;
  /** What is there before the quiet phase, one after the other. */
  readonly before?: readonly Attack[];
  readonly attack: Attack;
  /** A room that is empty and that somebody else enters while the attack goes on. */
  readonly enters?: string;
}

const SHIPPED: BelfryConfig = {
  rooms: [{ match: 'lobby', publish: 'members', history: 100 }],
  schedules: [{ name: 'shipped', every: '3s', rooms: ['lobby'], feed: { type: 'time' } }],
};
const PUBLISHING = { kind: 'talk', path: '/rooms/lobby', perSecond: 20 } as const;
/** Rooms that the good clients are not in. */
const FOREIGN_ROOMS = 10_000;
const ROOMS_EACH = 100;
/** As long as such patterns take longest: all but the end of the name fits. */
const FOREIGN = `a-${'a'.repeat(60)}`;

const get = (target: string, headers = '') => `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;

const operator = `Authorization: Bearer ${TOKEN}\r\nConnection: close\r\n`;

function broadcast(body: object): string {
  const text = JSON.stringify(body);
  return `POST /admin/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\n${operator}Content-Length: ${text.length}\r\n\r\n${text}`;
}

function publish(bytes: number): string {
  return JSON.stringify({ action: 'publish', data: 'x'.repeat(bytes) });
}

/** `{n}` becomes the number of the connection, so that each has rooms of its own. */
function rooms(prefix: string): string {
  return `/rooms?${Array.from({ length: ROOMS_EACH }, (_, index) => `room=${prefix}-${index}`).join('&')}`;
}

/** All of them fit, beside the room of the good clients. */
const MANY_ROOMS: BelfryConfig = { limits: { rooms: FOREIGN_ROOMS + 1 } };

const foreigners: Join = {
  kind: 'join',
  path: rooms(`${FOREIGN}-{n}`),
  connections: FOREIGN_ROOMS / ROOMS_EACH,
  reads: true,
  stays: true,
};

export const ATTACKS: readonly Attacked[] = [
  {
    name: 'h2c',
    says: 'an upgrade to h2c pipelined behind a request',
    attack: {
      kind: 'repeat',
      request: get('/livez') + get('/livez', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'),
      connections: 10,
    },
  },
  {
    name: 'publishers',
    says: '100 members of the lobby publish 15 KB 20 times a second',
    config: SHIPPED,
    attack: { ...PUBLISHING, connections: 100, lines: [publish(15_000)] },
  },
  {
    name: 'small-publishers',
    says: '300 members of the lobby publish 100 B 20 times a second',
    config: SHIPPED,
    attack: { ...PUBLISHING, connections: 300, lines: [publish(100)] },
  },
  {
    name: 'joins',
    says: '812 join 100 rooms with 20 schedules of 10 KB and never read',
    config: {
      schedules: Array.from({ length: 20 }, (_, index) => ({
        name: `board-${index}`,
        every: '1h',
        rooms: ['joined-*'],
        feed: { type: 'message', data: 'x'.repeat(10_000) },
      })),
    },
    attack: { kind: 'join', path: rooms('joined'), connections: 812, reads: false },
  },
  {
    name: 'unread-answers',
    says: '20 sockets pipeline 64 KB of GET /rooms/lobby?limit=1000 and do not read',
    config: SHIPPED,
    before: [
      {
        kind: 'operate',
        request: broadcast({ rooms: 'lobby', data: 'x'.repeat(2400) }),
        perSecond: 50,
      },
    ],
    attack: {
      kind: 'pipeline',
      request: get('/rooms/lobby?limit=1000'),
      connections: 20,
      reads: false,
      mostBytes: 65_536,
    },
  },
  {
    name: 'pipelines',
    says: '20 sockets pipeline small requests',
    attack: { kind: 'pipeline', request: get('/livez'), connections: 20, reads: true },
  },
  {
    name: 'deep-lines',
    says: '5 WebSockets send quotes and brackets, 16 KB 20 times a second',
    attack: {
      kind: 'talk',
      path: '/rooms/deep',
      connections: 5,
      perSecond: 20,
      lines: [
        `{"action":"echo","data":"${'\\"'.repeat(8000)}`,
        '["\\'.repeat(5400),
        `{"action":"echo","data":${'['.repeat(16_000)}`,
      ],
    },
  },
  {
    name: 'openapi',
    says: '20 sockets pipeline GET /openapi.yaml',
    attack: {
      kind: 'pipeline',
      request: get('/openapi.yaml'),
      connections: 20,
      reads: true,
      mostBytes: 65_536,
    },
  },
  {
    name: 'control-frames',
    says: '50 WebSockets send pings and pongs without a pause',
    attack: { kind: 'control', path: '/rooms/flooded', connections: 50 },
  },
  {
    name: 'broadcast',
    says: 'an operator sends 60 KB to 10,000 rooms',
    config: MANY_ROOMS,
    before: [foreigners],
    attack: {
      kind: 'operate',
      request: broadcast({ rooms: `${FOREIGN}-*`, data: 'x'.repeat(60_000) }),
      perSecond: 1,
    },
  },
  {
    name: 'patterns',
    says: 'an operator sends to 1,000 patterns over 10,000 rooms',
    config: MANY_ROOMS,
    before: [foreigners],
    attack: {
      kind: 'operate',
      request: broadcast({
        rooms: Array.from({ length: 1000 }, (_, index) => `${'*a'.repeat(60)}*b${index}*`),
        data: 1,
      }),
      perSecond: 1,
    },
  },
  {
    name: 'config-text',
    says: 'an operator reads a configuration with 60 KB of text',
    config: {
      schedules: [
        {
          name: 'text',
          every: '1h',
          rooms: ['text'],
          feed: { type: 'message', data: 'a'.repeat(60_000) },
        },
      ],
    },
    attack: { kind: 'operate', request: get('/admin/config', operator), perSecond: 1 },
  },
  {
    name: 'foreign-rooms',
    says: '10,000 rooms come to be that none of 100 schedules reaches',
    config: {
      ...MANY_ROOMS,
      schedules: Array.from({ length: 100 }, (_, index) => ({
        name: `elsewhere-${index}`,
        every: '1s',
        rooms: ['elsewhere-*', 'else-*-where'],
        feed: { type: 'time' },
      })),
    },
    attack: { ...foreigners, stays: false },
  },
  {
    name: 'bare-sockets',
    says: '6,000 sockets without a request, limits.sockets being 5,000',
    config: { limits: { sockets: 5000 } },
    attack: { kind: 'bare', says: '', connections: 6000 },
  },
  {
    name: 'half-handshakes',
    says: '3,000 sockets that send half a handshake',
    attack: {
      kind: 'bare',
      says: get('/rooms/half', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Ver').slice(0, -2),
      connections: 3000,
    },
  },
  {
    name: 'descriptors',
    says: 'more sockets than there are descriptors, with a feed that runs a command',
    config: {
      schedules: [
        { name: 'command', every: '1s', rooms: ['wall'], feed: { type: 'command', argv: ['date'] } },
      ],
    },
    process: { descriptors: 1200 },
    attack: { kind: 'bare', says: '', connections: 1000 },
  },
  {
    name: 'cut-log',
    says: 'nobody reads the log any more (serve | head -1), and strangers cause lines',
    process: { log: 'cut-pipe' },
    attack: {
      kind: 'repeat',
      request: get('/rooms/lobby', 'Origin: https://stranger-{n}.example\r\nConnection: close\r\n'),
      connections: 5,
    },
  },
  {
    name: 'full-disk',
    says: 'the disk under the log is full (> /dev/full), and strangers cause lines',
    process: { log: 'full-disk' },
    attack: {
      kind: 'repeat',
      request: get('/rooms/lobby', 'Origin: https://stranger-{n}.example\r\nConnection: close\r\n'),
      connections: 5,
    },
  },
  {
    name: 'all-rooms',
    says: 'one address behind a proxy takes all rooms; another one enters the empty lobby',
    config: { ...SHIPPED, ...MANY_ROOMS, server: { trustProxy: ['127.0.0.0/8'] } },
    attack: {
      kind: 'join',
      path: rooms('taken-{n}'),
      connections: 300,
      reads: true,
      headers: 'X-Forwarded-For: 203.0.113.7\r\n',
    },
    enters: 'lobby',
  },
];
