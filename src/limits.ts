/** One key of `limits` in the config file. */
export interface Limit {
  /** Where the file does not name it. */
  readonly byDefault: number;
  readonly description: string;
  /** Largest value. Default: `Number.MAX_SAFE_INTEGER`. */
  readonly max?: number;
  /** Default: true. */
  readonly isWhole?: boolean;
  /** Whether 0 in the file means no limit. Default: true. */
  readonly isOffAtZero?: boolean;
}

/** At most a day; timers of Node can wait 24 days. */
const SECONDS = { max: 86_400, isWhole: false } as const;

/**
 * Every key of `limits`. The config schema is made from this table; the parts that keep a limit take theirs
 * from `Limits`.
 */
export const LIMITS = {
  connections: { byDefault: 20_000, description: 'Connections at the same time.' },
  connectionsPerAddress: { byDefault: 1000, description: 'Connections at the same time from one address.' },
  connectsPerSecond: {
    byDefault: 1000,
    description: 'New connections of all clients together in a second.',
  },
  connectsPerSecondPerAddress: {
    byDefault: 100,
    description: 'New connections from one address in a second.',
  },
  sockets: { byDefault: 25_000, description: 'TCP sockets at the same time, connections included.' },
  headersSeconds: {
    byDefault: 10,
    description: 'Time for a client to send the headers of a request, in seconds.',
    ...SECONDS,
  },
  messagesPerSecond: { byDefault: 20, description: 'Messages that one client may send in a second.' },
  messageBurst: { byDefault: 100, description: 'Messages that one client may send at once.' },
  roomMessagesPerSecond: {
    byDefault: 100,
    description: 'Messages that all clients together may publish in one room in a second.',
  },
  rooms: { byDefault: 10_000, description: 'Rooms at the same time.' },
  roomsPerConnection: { byDefault: 100, description: 'Rooms that one connection may be in.' },
  roomsPerAddress: {
    byDefault: 1000,
    description:
      'Rooms that exist because clients of one address joined them first. Rooms that a rule names exactly do not count.',
  },
  maxPayloadBytes: { byDefault: 16_384, description: 'Size of a frame that a client sends, in bytes.' },
  maxBodyBytes: { byDefault: 1_048_576, description: 'Size of the body of an admin request, in bytes.' },
  eventBytes: { byDefault: 65_536, description: 'Size of the data of one event, in bytes of JSON.' },
  historyBytes: { byDefault: 262_144, description: 'Size of the messages kept of one room, in bytes.' },
  totalHistoryBytes: {
    byDefault: 67_108_864,
    description: 'Size of the messages kept of all rooms together, in bytes.',
  },
  retained: { byDefault: 1000, description: 'Retained messages at the same time.' },
  retainedBytes: {
    byDefault: 524_288,
    description:
      'Size of all retained messages together, in bytes. Never more than half of maxBufferedBytes, since a client may get all of them at once.',
  },
  waitingBroadcasts: { byDefault: 1000, description: 'Broadcasts that wait for their time.' },
  waitingBytes: {
    byDefault: 8_388_608,
    description: 'Size of all broadcasts that wait together, in bytes.',
  },
  idempotencyKeys: {
    byDefault: 10_000,
    description: 'Answers kept for retries with an Idempotency-Key. Above it the oldest are forgotten.',
  },
  idempotencyBytes: {
    byDefault: 8_388_608,
    description: 'Size of all of these answers together, in bytes.',
  },
  conflateAboveBytes: {
    byDefault: 65_536,
    description: 'A connection with more unsent bytes than this gets the newest tick in place of each tick.',
  },
  maxBufferedBytes: {
    byDefault: 1_048_576,
    description:
      'A connection is closed with more unsent bytes than this for slowSeconds, or at any time with twice as many.',
  },
  totalBufferedBytes: {
    byDefault: 268_435_456,
    description: 'Unsent bytes of all connections together. Above it the slowest connections are closed.',
  },
  slowSeconds: {
    byDefault: 5,
    description: 'How long a connection may have more than maxBufferedBytes unsent, in seconds.',
    ...SECONDS,
    isOffAtZero: false,
  },
  fanoutSliceMs: {
    byDefault: 10,
    description:
      'Longest time for writing to many connections before other work gets its turn, in milliseconds.',
    max: 1000,
  },
} as const satisfies Record<string, Limit>;

/** The limits in force. What is not limited is `Infinity`, so that comparisons need no special case. */
export type Limits = Readonly<Record<keyof typeof LIMITS, number>>;
