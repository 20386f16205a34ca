/** The limits that memory depends on, `Infinity` for none. */
export interface Limits {
  readonly sockets: number;
  readonly connections: number;
  readonly rooms: number;
  readonly roomsPerConnection: number;
  readonly maxPayloadBytes: number;
  readonly maxBodyBytes: number;
  readonly totalHistoryBytes: number;
  readonly totalBufferedBytes: number;
}

/** What the process may use, in bytes, as the system says it; what is not known is left out. */
export interface Available {
  /** `process.constrainedMemory()`: of the container; 0 or astronomical where there is none. */
  readonly constrained?: number | undefined;
  /** `os.totalmem()`. */
  readonly total: number;
  /** `v8.getHeapStatistics().heap_size_limit`. */
  readonly heap: number;
}

/** One part of what the limits permit. */
interface Term {
  readonly what: string;
  readonly bytes: number;
  /** As much of it as lies on the JavaScript heap, which has a limit of its own. */
  readonly heapBytes: number;
  readonly derivation: string;
  /** The limits that it is made of. */
  readonly keys: readonly (keyof Limits)[];
}

const KIB = 1024;
const MIB = 1024 * KIB;

// Measured on Node 20.20 over 4,000 connections and 6,000 bare sockets, and rounded up.
const WEBSOCKET_BYTES = 10 * KIB;
const STREAM_BYTES = 14 * KIB;
const CONNECTION_HEAP_BYTES = 8 * KIB;
/**
 * With an unread answer to a request of 16 KiB, fifteen requests that wait behind it, the last of them
 * as long, and as much again half received.
 */
const SOCKET_BYTES = 112 * KIB;
const SOCKET_HEAP_BYTES = 110 * KIB;
/** A room in a connection's set and the connection in the room's. */
const MEMBERSHIP_BYTES = 70;
/** A room with its name, its maps and a timer, and what the log remembers of it; measured 300 bytes. */
const ROOM_BYTES = KIB;
/** The process before anybody comes. */
const PROGRAM_BYTES = 90 * MIB;

/** Only who has a token is read a body from. They are few, and a body is there twice while it is parsed. */
const BODIES = 4;
const COPIES_OF_BODY = 2;

/**
 * The most memory that the limits permit beside the program itself, as lines for people: the total
 * first, then what it is made of; and a warning where that is more than the process may use. Kernel
 * buffers of sockets are not in it.
 */
export function describeMemory(limits: Limits, available: Available): { lines: string[]; warning?: string } {
  const terms = termsOf(limits);
  const unbounded = terms.filter(({ bytes }) => bytes === Number.POSITIVE_INFINITY);
  const parts = terms.map(({ what, bytes, derivation }) => `  ${what} ${derivation} = ${mib(bytes)}`);
  if (unbounded.length > 0) {
    const keys = new Set(
      unbounded.flatMap(({ keys }) => keys.filter((key) => !Number.isFinite(limits[key]))),
    );
    const names = [...keys].map((key) => `limits.${key}`).join(', ');
    const warning = `nothing bounds the memory: ${names} ${keys.size > 1 ? 'are' : 'is'} 0`;
    return { lines: ['memory: any amount:', ...parts], warning };
  }
  const bytes = sum(terms, 'bytes');
  const lines = [`memory: at most ${mib(bytes)} beside the program's own ${mib(PROGRAM_BYTES)}:`, ...parts];
  const warning = warningOf(bytes + PROGRAM_BYTES, sum(terms, 'heapBytes'), available);
  return { lines, ...(warning && { warning }) };
}

/** The most memory that the limits permit, in bytes, beside the program itself; `Infinity`: any amount. */
export function mostMemory(limits: Limits): number {
  return sum(termsOf(limits), 'bytes');
}

function termsOf(limits: Limits): Term[] {
  const { sockets, connections, rooms, roomsPerConnection, maxPayloadBytes, maxBodyBytes } = limits;
  // A client may leave a message half sent for as long as it answers pings.
  const websocketBytes = WEBSOCKET_BYTES + maxPayloadBytes;
  const perConnection = Math.max(STREAM_BYTES, websocketBytes);
  const memberships = connections * Math.min(roomsPerConnection, rooms);
  // Where nothing bounds the sockets nothing bounds the others, however many connections there may be.
  const others = Number.isFinite(sockets) ? Math.max(sockets - connections, 0) : sockets;
  return [
    {
      what: 'connections',
      bytes: connections * perConnection,
      heapBytes: connections * CONNECTION_HEAP_BYTES,
      derivation: `${count(connections)} × ${kib(perConnection)}, a message half received in each`,
      keys: ['connections', 'maxPayloadBytes'],
    },
    {
      what: 'other sockets',
      bytes: others * SOCKET_BYTES,
      heapBytes: others * SOCKET_HEAP_BYTES,
      derivation: `${count(others)} × ${kib(SOCKET_BYTES)}, requests that wait in each`,
      keys: ['sockets'],
    },
    {
      what: 'unsent',
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
  const most = constrained ? Math.min(constrained, total) : total;
  const lower = 'lower limits.connections or the others above';
  if (bytes > most) {
    return `the limits permit ${mib(bytes)} with the program, and it may use ${mib(most)}: ${lower}, or give it more`;
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
