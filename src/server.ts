import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { type Admission, type AccessRules, admit } from './access/admit.ts';
import { Origins } from './access/origins.ts';
import { problemResponse } from './access/problem.ts';
import { RoomRules } from './access/room-rules.ts';
import { tokenCheck } from './access/tokens.ts';
import { createAdmin } from './admin/admin.ts';
import { openApiYaml } from './admin/openapi.ts';
import { type Clock, systemClock } from './clock.ts';
import { cadenceOf } from './config/describe-schedules.ts';
import { parseConfig } from './config/parse.ts';
import type { Config } from './config/schema.ts';
import { sha256Of } from './config/token.ts';
import type { FeedKind } from './feed/feed.ts';
import { feedKinds } from './feed/kinds.ts';
import { CLOSE, type CloseReason } from './hub/close-reason.ts';
import type { Connection } from './hub/connection.ts';
import type { Published } from './hub/entries.ts';
import { Hub, type HubEvents } from './hub/hub.ts';
import { MemoryLog } from './hub/memory-log.ts';
import { Refusal } from './hub/refusal.ts';
import { retryAfterMs } from './hub/retry.ts';
import type { Target } from './hub/target.ts';
import type { Logger } from './observe/logger.ts';
import { RefusedOrigins } from './observe/refused-origins.ts';
import { createPages, roomPage } from './pages/pages.ts';
import type { ScheduleOptions } from './schedule/options.ts';
import { Schedules } from './schedule/schedules.ts';
import { type Action, ActionTable, builtInActions } from './transport/actions.ts';
import { drain } from './transport/drain.ts';
import { Heartbeat } from './transport/heartbeat.ts';
import { Listener } from './transport/listener.ts';
import { type NodeEnv, roomUrl } from './transport/room-url.ts';
import { listen } from './transport/session.ts';
import { upgradeGate } from './transport/upgrade-gate.ts';
import { websocketSink, websocketUpgrades } from './transport/websocket.ts';

/** What an embedding program may bring along. */
export interface BelfryOptions {
  /** More kinds of feed, beside the built-in ones. */
  readonly feeds?: readonly FeedKind[];
  /** Where `tokenEnv`, `BELFRY_ADMIN_TOKEN` and `${…}` are looked up. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Where relative paths in the configuration start. Default: the working directory. */
  readonly baseDirectory?: string;
  /** Default: nothing is logged. */
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** A message, as programs hear of it. */
export interface HeardMessage {
  readonly id: string;
  readonly room: string;
  readonly event: string;
  /** RFC 3339. */
  readonly time: string;
  readonly data: unknown;
  readonly from?: { readonly connection: string; readonly device?: string; readonly user?: string };
}

/** Somebody came into a room, or left it. */
export interface Presence {
  readonly room: string;
  readonly connection: string;
  readonly device?: string;
}

interface Heard {
  message: HeardMessage;
  join: Presence;
  leave: Presence;
}

export interface Started {
  readonly host: string;
  readonly port: number;
}

/** A whole server: `start` makes it listen, or put `fetch` and `upgrade` into a server of your own. */
export interface Belfry {
  readonly config: Config;
  /** The operator's token that was made for this run, where none is configured. */
  readonly madeToken: string | undefined;
  readonly schedules: Schedules;
  /** Listens on the configured address; rejects with Node's error where it cannot. */
  start(): Promise<Started>;
  /** Drains and stops; once `signal` aborts, at once. Leaves nothing running. */
  stop(signal?: AbortSignal): Promise<void>;
  /** Publishes to rooms, devices, connections or users; to every room where no target is named. */
  publish(message: { target?: Target; event?: string; data: unknown }): Promise<Published>;
  on<Name extends keyof Heard>(name: Name, listener: (heard: Heard[Name]) => void): void;
  /** Adds an action that clients may ask for. Throws where the name is taken. */
  action(name: string, handler: Action): void;
  /** For HTTP requests that reach another server; SSE needs `@hono/node-server`'s bindings as `env`. */
  fetch(request: Request, env?: NodeEnv['Bindings']): Response | Promise<Response>;
  /** For the `upgrade` event of another server. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/**
 * Puts a server together from a configuration in the form of `belfry.json`. Throws a `ConfigError`
 * that lists every fault. Nothing runs and no port is open until `start`.
 */
export function createBelfry(document: unknown = {}, options: BelfryOptions = {}): Belfry {
  const { clock = systemClock, logger, env = process.env, baseDirectory = process.cwd() } = options;
  const kinds = [...feedKinds, ...(options.feeds ?? [])];
  const config = parseConfig(document, { feedKinds: kinds, env });
  const { server, limits } = config;
  const onFault = (what: string, err: unknown) => logger?.error({ err }, what);

  const madeToken = config.admin.tokens.length === 0 ? randomBytes(24).toString('base64url') : undefined;
  const made = { name: 'made for this run', role: 'operator' as const };
  const tokens = madeToken ? [{ ...made, sha256: sha256Of(madeToken) }] : config.admin.tokens;

  const roomRules = new RoomRules(config.rooms);
  const hub: Hub = new Hub({
    clock,
    log: new MemoryLog({
      clock,
      retentionOf: (room) => ({
        messages: roomRules.historyOf(room),
        ms: roomRules.historySecondsOf(room) * 1000,
      }),
      roomBytes: limits.historyBytes,
      totalBytes: limits.totalHistoryBytes,
    }),
    currentTicks: { of: (room) => schedules.of(room) },
    historyOf: (room) => roomRules.historyOf(room),
    conflates: (room) => roomRules.conflates(room),
    eventBytes: limits.eventBytes,
    buffers: { ...limits, slowMs: limits.slowSeconds * 1000 },
    fanoutSliceMs: limits.fanoutSliceMs,
    emptyRoomMs: server.emptyRoomSeconds * 1000,
    server: `belfry ${version}`,
    heartbeatSeconds: server.heartbeatSeconds,
    processId: randomBytes(4).toString('hex'),
    onFault,
  });
  const schedules: Schedules = new Schedules({
    clock,
    hub,
    report: logged(logger),
    eventBytes: limits.eventBytes,
  });

  const refusedOrigins = new RefusedOrigins(clock, (detail) => logger?.warn(detail));
  /** When the drain ends, on the monotonic clock; set once `stop` was called. */
  let drainEndsAt: number | undefined;
  const access: AccessRules = {
    origins: new Origins(server),
    rooms: roomRules,
    closed: () => (drainEndsAt === undefined ? undefined : draining(drainEndsAt - clock.monotonic(), hub)),
    lockOf: (room) => hub.refusalOf(room),
    onOriginRefused: (origin, detail) => refusedOrigins.refused(origin, detail),
  };

  const actions = builtInActions({
    hub,
    clock,
    checkPublish: (room) => roomRules.checkPublish(room),
    checkSubscribe: (room) => roomRules.checkSubscribe(room),
  });
  const heartbeat = new Heartbeat({ clock, hub, ...server });
  const gone = (connection: Connection) => {
    heartbeat.remove(connection);
    hub.disconnect(connection);
  };
  const join = (connection: Connection, { rooms, since }: Admission) =>
    hub.join(connection, rooms, since).catch((error) => onFault('somebody could not be welcomed', error));

  const openWebSocket = websocketUpgrades({ maxPayloadBytes: limits.maxPayloadBytes, onFault });
  const session = {
    actions: new ActionTable({ actions, clock, onFault }),
    now: () => clock.now(),
    onSeen: (connection: Connection) => heartbeat.seen(connection),
    onPong: (connection: Connection) => heartbeat.ponged(connection),
    onGone: gone,
    close: (connection: Connection, reason: CloseReason) => hub.close(connection, reason),
  };
  const upgrade = upgradeGate({
    admit: (caller) => admit(caller, access),
    accept: (request, socket, head, admission) =>
      openWebSocket({
        request,
        socket,
        head,
        onOpen(websocket) {
          const connection = hub.connect(admission.peer, websocketSink(websocket, socket));
          heartbeat.add(connection, () => websocket.ping());
          listen(websocket, connection, join(connection, admission), session);
        },
      }),
    onFault,
  });

  const app = new Hono<NodeEnv>();
  app.onError((error) => {
    if (!(error instanceof Refusal)) onFault('a request failed', error);
    return problemResponse(error);
  });
  app.notFound((c) => problemResponse(new Refusal(404, `there is nothing at ${c.req.path}`)));
  app.get('/', (c) => c.redirect('/rooms/lobby'));
  app.get('/livez', (c) => c.text('ok\n'));
  app.get('/readyz', (c) => (drainEndsAt === undefined ? c.text('ok\n') : c.text('draining\n', 503)));
  app.get('/openapi.yaml', (c) => c.body(openApiYaml(), 200, { 'Content-Type': 'application/yaml' }));
  app.route('/', createPages());
  app.route(
    '/',
    roomUrl({
      hub,
      clock,
      currentTicks: schedules,
      access,
      page: roomPage,
      connectStream(sink, admission, onGone) {
        const connection = hub.connect(admission.peer, sink);
        heartbeat.add(connection);
        onGone(() => gone(connection));
        void join(connection, admission);
      },
    }),
  );
  app.route(
    '/',
    createAdmin({ hub, schedules, tokens: tokenCheck(tokens), maxBodyBytes: limits.maxBodyBytes }),
  );

  const listener = new Listener({
    request: getRequestListener(app.fetch, { overrideGlobalObjects: false }),
    upgrade,
    clock,
  });

  return {
    config,
    madeToken,
    schedules,

    async start() {
      const address = await listener.listen(server.host, server.port);
      await hub.start();
      schedules.start(
        config.schedules.map((schedule): ScheduleOptions => {
          const kind = kinds.find(({ type }) => type === schedule.feed.type);
          if (!kind) throw new Error(`no feed of type "${schedule.feed.type}"`);
          return {
            ...schedule,
            cadence: cadenceOf(schedule.cadence),
            describedCadence: schedule.cadence,
            missed: 'latest',
            feed: kind.create(schedule.feed.options, { clock, baseDirectory }),
            feedType: kind.type,
          };
        }),
      );
      return { host: address.address, port: address.port };
    },

    async stop(signal = new AbortController().signal) {
      const drainMs = server.drainSeconds * 1000;
      drainEndsAt ??= clock.monotonic() + drainMs;
      await drain({ hub, clock, drainMs, signal });
      schedules.stop();
      heartbeat.stop();
      hub.stop();
      if (signal.aborted) listener.cut();
      await listener.close();
    },

    publish: ({ target = {}, event = 'message', data }) =>
      hub.publish({ target, event, data: JSON.stringify(data) }),

    on(name, listener) {
      // `name` and `listener` belong together by the type of `on`; a switch cannot follow that.
      const hear = listener as (heard: Heard[keyof Heard]) => void;
      if (name === 'message') hub.events.on('message', (event) => hear(heardMessage(event)));
      if (name === 'join') hub.events.on('join', (presence) => hear(heardPresence(presence)));
      if (name === 'leave') hub.events.on('leave', (presence) => hear(heardPresence(presence)));
    },

    action(name, handler) {
      if (actions.has(name)) throw new Error(`action "${name}" is there already`);
      actions.set(name, handler);
    },

    fetch: (request, env) => app.fetch(request, env),
    upgrade,
  };
}

function draining(leftMs: number, hub: Hub): Refusal {
  const after = retryAfterMs(Math.max(leftMs, 0), hub.connectionCount);
  return new Refusal(503, 'the server is restarting: come back in a moment', {
    retryAfterMs: after,
    closing: { ...CLOSE.restart, retryAfterMs: after },
  });
}

function logged(logger: Logger | undefined): ConstructorParameters<typeof Schedules>[0]['report'] {
  return {
    ran: (schedule, { outcome, error }) => {
      if (outcome === 'failed') logger?.warn({ schedule, error }, 'a run failed');
    },
    turned: (schedule, state, detail) => logger?.info({ schedule, state, detail }, 'schedule changed state'),
    missed: (schedule, count) => logger?.warn({ schedule, count }, 'instants were missed'),
    overlapped: (schedule) =>
      logger?.warn({ schedule }, 'the feed was still being read when the next run came'),
    stepped: (ms) => logger?.warn({ ms: Math.round(ms) }, "the computer's clock was set"),
  };
}

function heardMessage(event: HubEvents['message'][0]): HeardMessage {
  const { id = '', room = '', event: name, time, data = 'null', from } = event;
  return { id, room, event: name, time, data: JSON.parse(data), ...(from && { from }) };
}

function heardPresence({ room, connection }: HubEvents['join'][0]): Presence {
  const { device } = connection.peer;
  return { room, connection: connection.id, ...(device && { device }) };
}
