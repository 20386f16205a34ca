import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import { z } from 'zod';
import { tokenCheck, type TokenEntry } from '../../src/access/tokens.ts';
import { type AdminParts, createAdmin } from '../../src/admin/app.ts';
import type { AuditEntry } from '../../src/admin/audit.ts';
import { FailedAttempts } from '../../src/admin/guard.ts';
import type {
  Explanation,
  RunEntry,
  ScheduleAdministration,
  ScheduleEntry,
} from '../../src/admin/schedules.ts';
import { problemField } from '../../src/admin/schemas.ts';
import type { ConfigEntry, Reloaded, ServerAdministration, StatsEntry } from '../../src/admin/server.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { type RoomEvent, roomMatcher } from '../../src/hub/event.ts';
import type { Administration } from '../../src/hub/hub.ts';
import { IdempotencyKeys } from '../../src/hub/idempotency.ts';
import type { Publication, PublishOptions } from '../../src/hub/publication.ts';
import type { CloseRoom } from '../../src/hub/lock.ts';
import type {
  ConnectionEntry,
  ConnectionsQuery,
  PageQuery,
  RoomEntry,
  RoomsQuery,
} from '../../src/hub/views.ts';
import { MemoryLog } from '../../src/log/memory-log.ts';
import { WaitingBroadcasts } from '../../src/hub/waiting-broadcasts.ts';
import { problemResponse } from '../../src/transport/problem.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

export const sha256 = (token: string): string => createHash('sha256').update(token).digest('hex');

const NOW = '2026-11-20T18:00:03.000Z';

export function roomEntry(name: string): RoomEntry {
  return {
    name,
    connections: { websocket: 2, sse: 1 },
    createdAt: NOW,
    last: { id: 'k3f9-42', event: 'message', time: NOW },
    history: 1,
    locked: { until: NOW, reconnect: true, reason: 'maintenance' },
  };
}

export function connectionEntry(id: string): ConnectionEntry {
  return {
    id,
    rooms: ['lobby'],
    transport: 'websocket',
    device: null,
    user: null,
    remoteAddress: '127.0.0.1',
    userAgent: null,
    connectedAt: NOW,
    lastSeenAt: NOW,
    sent: 3,
    conflated: 0,
    bufferedBytes: 0,
    roundTripMs: 0.4,
  };
}

export function scheduleEntry(name: string): ScheduleEntry {
  return {
    name,
    cadence: { every: '3s' },
    feed: { type: 'time' },
    event: 'time',
    rooms: ['*'],
    state: 'ok',
    since: NOW,
    reason: null,
    detail: null,
    lastGood: NOW,
    next: [NOW],
    last: { due: NOW, sent: NOW, rooms: 1, connections: 3 },
    counters: { runs: 1, sent: 1, unchanged: 0, missed: 0, overlapped: 0, failed: 0 },
    lateness: { lastMs: 1.1, medianMs: 1.1, p99Ms: 1.1, maxMs: 1.1 },
  };
}

export function runEntry(id: number): RunEntry {
  return {
    id: String(id),
    due: NOW,
    started: NOW,
    sent: null,
    lateMs: null,
    manual: false,
    rooms: 0,
    connections: 0,
    bytes: 0,
    outcome: 'failed',
    error: 'the upstream answered 500',
  };
}

export const STATS: StatsEntry = {
  version: '1.2.3',
  startedAt: NOW,
  uptimeSeconds: 0.25,
  rooms: 1,
  connections: { websocket: 2, sse: 1 },
  slow: 0,
  schedules: { ok: 3, stale: 0, error: 0, paused: 0 },
  published: 0,
  broadcasts: { waiting: 0, missed: 0 },
  delivered: 0,
  conflated: 0,
  sentBytes: 0,
  runs: { sent: 0, unchanged: 0, unheard: 0, failed: 0 },
  missed: 0,
  overlapped: 0,
  clockSteps: 0,
  closes: { '1012': 3 },
  refusals: {},
  lateness: null,
  memory: { rssBytes: 1, heapUsedBytes: 1 },
};

export const CONFIG: ConfigEntry = {
  source: 'belfry.json',
  loadedAt: NOW,
  faults: [{ path: 'server.port', message: '"x" is not a port' }],
  config: { server: { port: 8080 } },
};

/** Lists what it is given and writes down what it is told to do. */
export class FakeHub implements Administration {
  readonly roomNames = new Set(['lobby', 'ops-1', 'ops-2']);
  /** Of retained messages. */
  readonly keys = new Set(['lunch', 'alarm']);
  readonly withdrawn: (string | undefined)[][] = [];
  readonly connectionIds = new Set(['q8d1-01', 'q8d1-02']);
  readonly asked: (RoomsQuery | ConnectionsQuery)[] = [];
  readonly published: Publication[] = [];
  readonly closed: { name: string; how: CloseRoom }[] = [];
  readonly unlocked: string[] = [];
  readonly kicked: { id: string; reason: string | undefined }[] = [];
  /** Thrown by whatever is called next. */
  failure: unknown;

  async rooms(query: RoomsQuery): Promise<RoomEntry[]> {
    this.#fail();
    this.asked.push(query);
    const matches = roomMatcher(query.match ?? '*');
    return page(this.roomNames, query).filter(matches).slice(0, query.limit).map(roomEntry);
  }

  async room(name: string): Promise<RoomEntry> {
    this.#fail();
    return roomEntry(known(this.roomNames, name));
  }

  async connections(query: ConnectionsQuery): Promise<ConnectionEntry[]> {
    this.asked.push(query);
    return page(this.connectionIds, query).slice(0, query.limit).map(connectionEntry);
  }

  async connection(id: string): Promise<ConnectionEntry> {
    return connectionEntry(known(this.connectionIds, id));
  }

  async publish(publication: Publication, { changesOf }: PublishOptions = {}) {
    this.#fail();
    this.published.push(publication);
    const published = {
      id: 'k3f9-42',
      rooms: ['lobby'],
      connections: 3,
      unreached: ['wall-9'],
      unknown: [],
      kept: true,
    };
    if (!publication.dryRun) changesOf?.(published);
    return published;
  }

  async retained(room: string): Promise<RoomEvent[]> {
    const event = (key: string) => ({ id: 'k3f9-42', room, event: 'message', time: NOW, data: '"é"', key });
    return [...this.keys].map(event);
  }

  async withdraw(key: string, room?: string) {
    known(this.keys, key);
    if (room !== undefined) known(this.roomNames, room);
    this.withdrawn.push([key, room]);
    return { id: 'k3f9-43', rooms: ['lobby'], connections: 3, unreached: [], unknown: [], kept: false };
  }

  async closeRoom(name: string, how: CloseRoom) {
    this.closed.push({ name: known(this.roomNames, name), how });
    return { room: name, connections: 3, lockedUntil: how.lockMs === 0 ? null : NOW };
  }

  async lockRoom(name: string, how: CloseRoom) {
    this.#fail();
    this.closed.push({ name, how });
    return { room: name, connections: this.roomNames.has(name) ? 3 : 0, lockedUntil: NOW };
  }

  async unlockRoom(name: string): Promise<void> {
    this.unlocked.push(known(this.roomNames, name));
  }

  async closeConnection(id: string, reason?: string): Promise<void> {
    this.kicked.push({ id: known(this.connectionIds, id), reason });
  }

  #fail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

export class FakeSchedules implements ScheduleAdministration {
  readonly names = new Set(['market', 'clock', 'alarm']);
  readonly done: string[] = [];

  list = async (query: PageQuery) => page(this.names, query).slice(0, query.limit).map(scheduleEntry);
  get = async (name: string) => scheduleEntry(known(this.names, name));
  /** Twelve runs, numbered from 0. */
  runs = async (name: string, { after = '12', limit }: PageQuery): Promise<RunEntry[]> => {
    known(this.names, name);
    const older = Array.from({ length: Number(after) }, (_, index) => Number(after) - 1 - index);
    return older.slice(0, limit).map(runEntry);
  };
  explain = async (
    name: string,
    query: { fromMs: number | undefined; count: number },
  ): Promise<Explanation> => {
    this.explained.push({ name: known(this.names, name), ...query });
    const runs = [{ due: NOW, local: '2026-11-20T19:00:03.000+01:00', note: null }];
    return { schedule: name, cadence: { every: '3s' }, words: 'every 3 seconds', timezone: 'UTC', runs };
  };
  readonly explained: object[] = [];
  run = (name: string) => this.#act('run', name);
  pause = (name: string) => this.#act('pause', name);
  resume = (name: string) => this.#act('resume', name);

  async #act(what: string, name: string): Promise<ScheduleEntry> {
    const entry = await this.get(name);
    this.done.push(`${what} ${name}`);
    return entry;
  }
}

export class FakeServerAdministration implements ServerAdministration {
  reloads = 0;
  /** Thrown by the reloads. */
  failure: unknown;

  stats = () => STATS;
  config = () => CONFIG;
  reload = async (): Promise<Reloaded> => {
    this.reloads++;
    if (this.failure !== undefined) throw this.failure;
    return { added: ['a'], changed: [], removed: ['b', 'c'], kept: ['clock'], needsRestart: ['server.port'] };
  };
}

const NO_LIMITS = {
  historyBytes: Number.POSITIVE_INFINITY,
  totalHistoryBytes: Number.POSITIVE_INFINITY,
  waitingBroadcasts: Number.POSITIVE_INFINITY,
  waitingBytes: Number.POSITIVE_INFINITY,
  idempotencyKeys: Number.POSITIVE_INFINITY,
  idempotencyBytes: Number.POSITIVE_INFINITY,
};

function known(names: ReadonlySet<string>, name: string): string {
  if (!names.has(name)) throw new Refusal(404, `there is no "${name}"`);
  return name;
}

function page(names: ReadonlySet<string>, { after = '' }: RoomsQuery | ConnectionsQuery): string[] {
  return [...names].sort().filter((name) => name > after);
}

const TOKENS: readonly TokenEntry[] = [
  { name: 'ops', role: 'operator', sha256: sha256('operator-token') },
  { name: 'wall', role: 'viewer', sha256: sha256('viewer-token') },
  { name: 'kiosk', role: 'publisher', rooms: ['lobby', 'ops-*'], sha256: sha256('publisher-token') },
  { name: 'siren', role: 'publisher', rooms: ['*'], sha256: sha256('every-room-token') },
];

export interface Call {
  readonly body?: string | Uint8Array<ArrayBuffer> | FormData | ReadableStream<Uint8Array> | null;
  readonly headers?: Record<string, string>;
  /** Default: the operator's; null: none. */
  readonly token?: string | null;
}

/** The admin API as the server mounts it, with fakes behind it. */
export class FakeServer {
  readonly hub = new FakeHub();
  readonly schedules = new FakeSchedules();
  readonly thrown: unknown[] = [];
  readonly service = new FakeServerAdministration();
  readonly clock = new ManualClock();
  readonly called: string[] = [];
  readonly acted: AuditEntry[] = [];
  readonly parts: AdminParts;
  readonly broadcasts: WaitingBroadcasts;
  readonly settings = {
    tokens: tokenCheck(TOKENS),
    limits: { maxBodyBytes: 1_048_576, eventBytes: 65_536 },
    server: { openMetrics: false },
    rooms: { checkPublish() {} },
  };
  /** Where the next call comes from. */
  address = '192.0.2.7';
  readonly #app = new Hono();

  constructor(maxBodyBytes = 1_048_576) {
    this.settings.limits.maxBodyBytes = maxBodyBytes;
    const retentionOf = () => ({ messages: 0, ms: 0 });
    const log = new MemoryLog({
      clock: this.clock,
      settings: { current: { limits: NO_LIMITS, retentionOf } },
    });
    const { clock, hub } = this;
    this.broadcasts = new WaitingBroadcasts({
      clock,
      log,
      hub,
      settings: { current: { limits: NO_LIMITS } },
      onMissed: () => {},
      onFault: () => {},
    });
    this.parts = {
      hub,
      broadcasts: this.broadcasts,
      idempotency: new IdempotencyKeys({
        clock: this.clock,
        log,
        settings: { current: { limits: NO_LIMITS } },
      }),
      schedules: this.schedules,
      server: this.service,
      metrics: { contentType: 'text/plain; version=0.0.4', text: async () => 'belfry_rooms 1\n' },
      clock,
      attempts: new FailedAttempts(this.clock),
      addressOf: () => this.address,
      settings: { current: this.settings },
      countMessage: () => {},
      onCalled: (operation, status) => this.called.push(`${operation} ${status}`),
      onActed: (entry) => this.acted.push(entry),
    };
    this.#app.route('/', createAdmin(this.parts));
    this.#app.onError((error) => {
      this.thrown.push(error);
      return problemResponse(error);
    });
  }

  async call(request: string, { body = null, headers = {}, token = 'operator-token' }: Call = {}) {
    const [method = '', path = ''] = request.split(' ');
    const authorization: Record<string, string> = token === null ? {} : { Authorization: `Bearer ${token}` };
    // Node's `Request` wants to be told that a stream is sent before the answer comes.
    const init = { method, body, headers: { ...authorization, ...headers }, duplex: 'half' as const };
    return this.#app.request(path, init);
  }

  /** One more token, as a reload adds it; it takes the place of the one that is the same. */
  addToken(token: string, entry: Omit<TokenEntry, 'sha256'>): void {
    this.settings.tokens = tokenCheck([{ ...entry, sha256: sha256(token) }, ...TOKENS]);
  }

  /** A page of a list. */
  async list(path: string) {
    const response = await this.call(`GET ${path}`);
    const item = z.looseObject({ name: z.string().optional() });
    return z.strictObject({ items: z.array(item), next: z.string().nullable() }).parse(await response.json());
  }

  /** POST /admin/broadcast the way `curl -d` does. */
  broadcast(body: unknown, headers: Record<string, string> = {}) {
    return this.call('POST /admin/broadcast', {
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
    });
  }
}

/** The problem that an answer must be, with the given status. */
export async function problemOf(response: Response, status: number) {
  const text = await response.text();
  if (response.headers.get('content-type') !== 'application/problem+json' || response.status !== status)
    throw new Error(`expected a problem of ${status}, got ${response.status}: ${text}`);
  const problem = problemField.strict().parse(JSON.parse(text));
  if (problem.status !== status) throw new Error(`its body says ${problem.status}`);
  return problem;
}
