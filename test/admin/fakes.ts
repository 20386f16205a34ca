import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import { z } from 'zod';
import { problemResponse } from '../../src/access/problem.ts';
import { tokenCheck } from '../../src/access/tokens.ts';
import { createAdmin } from '../../src/admin/admin.ts';
import { problemField } from '../../src/admin/answers.ts';
import type { ScheduleAdministration, ScheduleEntry } from '../../src/admin/schedules.ts';
import type { Administration, CloseRoom, Publication } from '../../src/hub/administration.ts';
import type { ConnectionEntry, ConnectionsQuery, RoomEntry, RoomsQuery } from '../../src/hub/entries.ts';
import { roomMatcher } from '../../src/hub/names.ts';
import { Refusal } from '../../src/hub/refusal.ts';

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
    detail: null,
    lastGood: NOW,
    next: [NOW],
    last: { due: NOW, sent: NOW, rooms: 1, connections: 3 },
    counters: { runs: 1, sent: 1, unchanged: 0, missed: 0, overlapped: 0, failed: 0 },
    lateness: { lastMs: 1.1, medianMs: 1.1, p99Ms: 1.1, maxMs: 1.1 },
  };
}

/** Lists what it is given and writes down what it is told to do. */
export class FakeHub implements Administration {
  readonly roomNames = new Set(['lobby', 'ops-1', 'ops-2']);
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

  async publish(publication: Publication) {
    this.#fail();
    this.published.push(publication);
    return { id: 'k3f9-42', rooms: ['lobby'], connections: 3, unreached: ['wall-9'] };
  }

  async closeRoom(name: string, how: CloseRoom) {
    this.closed.push({ name: known(this.roomNames, name), how });
    return { room: name, connections: 3, lockedUntil: how.lockMs === 0 ? null : NOW };
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

  list = async () => [...this.names].map(scheduleEntry);
  get = async (name: string) => scheduleEntry(known(this.names, name));
  run = (name: string) => this.#act('run', name);
  pause = (name: string) => this.#act('pause', name);
  resume = (name: string) => this.#act('resume', name);

  async #act(what: string, name: string): Promise<ScheduleEntry> {
    const entry = await this.get(name);
    this.done.push(`${what} ${name}`);
    return entry;
  }
}

function known(names: ReadonlySet<string>, name: string): string {
  if (!names.has(name)) throw new Refusal(404, `there is no "${name}"`);
  return name;
}

function page(names: ReadonlySet<string>, { after = '' }: RoomsQuery | ConnectionsQuery): string[] {
  return [...names].sort().filter((name) => name > after);
}

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
  readonly #app = new Hono();

  constructor(maxBodyBytes = 1_048_576) {
    const tokens = tokenCheck([
      { name: 'ops', role: 'operator', sha256: sha256('operator-token') },
      { name: 'wall', role: 'viewer', sha256: sha256('viewer-token') },
    ]);
    this.#app.route('/', createAdmin({ hub: this.hub, schedules: this.schedules, tokens, maxBodyBytes }));
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
