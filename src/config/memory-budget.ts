import type { Limits } from '../limits.ts';

/** The limits that memory depends on. */
export type MemoryLimits = Pick<
  Limits,
  | 'sockets'
  | 'connections'
  | 'rooms'
  | 'roomsPerConnection'
  | 'maxPayloadBytes'
  | 'maxBodyBytes'
  | 'totalHistoryBytes'
  | 'retainedBytes'
  | 'waitingBytes'
  | 'idempotencyBytes'
  | 'maxBufferedBytes'
  | 'totalBufferedBytes'
>;

/** What the process may use, in bytes. */
export interface Available {
  /** `process.constrainedMemory()`, the container's limit: 0 or astronomical without a container. */
  readonly constrained?: number | undefined;
  /** `os.totalmem()`. */
  readonly total: number;
  /** `v8.getHeapStatistics().heap_size_limit`. */
  readonly heap: number;
}

/** One line of the budget: what takes memory, how much of it, and which limits set that. */
interface Term {
  readonly what: string;
  readonly bytes: number;
  /** The share on the JavaScript heap, which has a limit of its own. */
  readonly heapBytes: number;
  readonly derivation: string;
  /** The limits that it depends on. */
  readonly keys: readonly (keyof MemoryLimits)[];
}

const KIB = 1024;
const MIB = 1024 * KIB;

// Measured on Node 20.20 over 4,000 connections and 6,000 bare sockets, and rounded up.
const WEBSOCKET_BYTES = 10 * KIB;
const STREAM_BYTES = 14 * KIB;
/**
 * With an unread answer to a request of 16 KiB, fifteen requests that wait behind it, the last of them
 * as long, and as much again half received.
 */
const SOCKET_BYTES = 112 * KIB;
const SOCKET_HEAP_BYTES = 110 * KIB;
/** An entry in the connection's set of rooms and one in the room's set of connections. */
const MEMBERSHIP_BYTES = 70;
/** A room with its name, maps and timer, and its entry in the log; measured: 300 bytes. */
const ROOM_BYTES = KIB;
/** The process without clients. */
const PROGRAM_BYTES = 90 * MIB;

/** Bodies are read only from clients with a token, who are few. While one is parsed there are two copies. */
const BODIES = 4;
const COPIES_OF_BODY = 2;

/**
 * The lines about memory that `belfry check` prints: the largest amount that the limits permit beside
 * the program itself, then its parts; and a warning if the process may not use so much. Buffers of
 * sockets in the kernel are not counted.
 */
export function describeMemory(
  limits: MemoryLimits,
  available: Available,
): { lines: string[]; warning?: string } {
  const terms = termsOf(limits);
  const unbounded = terms.filter(({ bytes }) => bytes === Number.POSITIVE_INFINITY);
  const parts = terms.map(({ what, bytes, derivation }) => `  ${what} ${derivation} = ${mib(bytes)}`);
  if (unbounded.length > 0) {
    const missing = unbounded.flatMap(({ keys }) =>
      keys.filter((key) => limits[key] === Number.POSITIVE_INFINITY),
    );
    const names = [...new Set(missing)].map((key) => `limits.${key}`);
    const warning = `nothing bounds the memory: ${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} 0`;
    return { lines: ['memory: any amount:', ...parts], warning };
  }
  const bytes = sum(terms, 'bytes');
  const lines = [`memory: at most ${mib(bytes)} beside the program's own ${mib(PROGRAM_BYTES)}:`, ...parts];
  const warning = warningOf(bytes + PROGRAM_BYTES, sum(terms, 'heapBytes'), available);
  return { lines, ...(warning && { warning }) };
}

/** The largest amount of memory that the limits permit beside the program itself, in bytes; `Infinity`: any. */
export function mostMemory(limits: MemoryLimits): number {
  return sum(termsOf(limits), 'bytes');
}

function termsOf(limits: MemoryLimits): Term[] {
  const { sockets, connections, rooms, roomsPerConnection, maxPayloadBytes, maxBodyBytes } = limits;
  // Incomplete messages count as unsent, each with half of `maxBufferedBytes` at most: see `countReceived`.
  const uncountedBytes = Math.max(maxPayloadBytes - limits.maxBufferedBytes / 2, 0);
  const perConnection = Math.max(STREAM_BYTES, WEBSOCKET_BYTES + uncountedBytes);
  // A socket that holds no connection takes more than one that does, and all of them may be such.
  const perSocket = Math.max(SOCKET_BYTES, perConnection);
  const memberships = connections * Math.min(roomsPerConnection, rooms);
  return [
    {
      what: 'sockets',
      bytes: sockets * perSocket,
      heapBytes: sockets * SOCKET_HEAP_BYTES,
      derivation: `${count(sockets)} × ${kib(perSocket)}, requests that wait in each`,
      keys: ['sockets', 'maxPayloadBytes'],
    },
    {
      what: 'unsent or half received',
      bytes: limits.totalBufferedBytes,
      heapBytes: 0,
      derivation: 'limits.totalBufferedBytes',
      keys: ['totalBufferedBytes'],
    },
    {
      what: 'memberships',
      bytes: memberships * MEMBERSHIP_BYTES,
      heapBytes: memberships * MEMBERSHIP_BYTES,
      derivation: `${count(connections)} × ${count(Math.min(roomsPerConnection, rooms))} rooms × ${MEMBERSHIP_BYTES} B`,
      keys: ['connections', 'rooms', 'roomsPerConnection'],
    },
    {
      what: 'history',
      bytes: limits.totalHistoryBytes,
      heapBytes: limits.totalHistoryBytes,
      derivation: 'limits.totalHistoryBytes',
      keys: ['totalHistoryBytes'],
    },
    {
      what: 'retained messages',
      bytes: limits.retainedBytes,
      heapBytes: limits.retainedBytes,
      derivation: 'limits.retainedBytes',
      keys: ['retainedBytes'],
    },
    {
      what: 'waiting broadcasts',
      bytes: limits.waitingBytes,
      heapBytes: limits.waitingBytes,
      derivation: 'limits.waitingBytes',
      keys: ['waitingBytes'],
    },
    {
      what: 'answers for retries',
      bytes: limits.idempotencyBytes,
      heapBytes: limits.idempotencyBytes,
      derivation: 'limits.idempotencyBytes',
      keys: ['idempotencyBytes'],
    },
    {
      what: 'rooms',
      bytes: rooms * ROOM_BYTES,
      heapBytes: rooms * ROOM_BYTES,
      derivation: `${count(rooms)} × ${kib(ROOM_BYTES)}`,
      keys: ['rooms'],
    },
    {
      what: 'admin bodies',
      bytes: BODIES * COPIES_OF_BODY * maxBodyBytes,
      heapBytes: BODIES * maxBodyBytes,
      derivation: `${BODIES} at a time × ${COPIES_OF_BODY} × ${kib(maxBodyBytes)}`,
      keys: ['maxBodyBytes'],
    },
  ];
}

function warningOf(bytes: number, heapBytes: number, available: Available): string | undefined {
  const { constrained, total, heap } = available;
  const allowed = constrained ? Math.min(constrained, total) : total;
  const lower = 'lower limits.connections or the others above';
  if (bytes > allowed) {
    return `the limits permit ${mib(bytes)} with the program, and it may use ${mib(allowed)}: ${lower}, or give it more`;
  }
  if (heapBytes > heap) {
    return (
      `the limits permit ${mib(heapBytes)} of JavaScript heap, and it may use ${mib(heap)}: ${lower}, ` +
      `or set NODE_OPTIONS=--max-old-space-size=${Math.ceil(heapBytes / MIB)}`
    );
  }
  return undefined;
}

function sum(terms: readonly Term[], of: 'bytes' | 'heapBytes'): number {
  return terms.reduce((total, term) => total + term[of], 0);
}

function count(number: number): string {
  return Number.isFinite(number) ? String(number) : 'any number';
}

function kib(bytes: number): string {
  return Number.isFinite(bytes) ? `${Math.ceil(bytes / KIB)} KiB` : 'any amount';
}

function mib(bytes: number): string {
  return Number.isFinite(bytes) ? `${Math.ceil(bytes / MIB)} MiB` : 'any amount';
}
