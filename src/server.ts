import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AddressSockets } from './access/address-sockets.ts';
import { type AccessRules, type Entry, enter } from './access/admission.ts';
import { Seats } from './access/connection-limits.ts';
import { CONTROL_FRAMES, messageLimits, RoomMessageRates } from './access/rate-limits.ts';
import { RoomLimits } from './access/room-limits.ts';
import { FailedAttempts } from './admin/guard.ts';
import { type Belfry, type BelfryOptions, listenTo } from './belfry.ts';
import { systemClock } from './clock.ts';
import { parseConfig } from './config/parse.ts';
import { scheduleOptions } from './config/schedule.ts';
import { sha256Of } from './config/token.ts';
import { feedKinds } from './feed/kinds.ts';
import { httpApp } from './http-app.ts';
import type { Connection } from './hub/connection.ts';
import { Refusal, type RefusalReason } from './hub/errors.ts';
import { Hub } from './hub/hub.ts';
import { Lifecycle, whyClosed } from './lifecycle.ts';
import { MemoryLog } from './log/memory-log.ts';
import type { Logger } from './observe/logger.ts';
import { Metrics } from './observe/metrics.ts';
import { RefusedOrigins } from './observe/refused-origins.ts';
import { roomPage } from './pages/pages.ts';
import { Reloads } from './reloads.ts';
import type { Report } from './schedule/options.ts';
import { Schedules } from './schedule/schedules.ts';
import { live, Settings } from './settings.ts';
import { ActionTable } from './transport/actions.ts';
import { type ActionParts, builtInActions } from './transport/built-in-actions.ts';
import { drain } from './transport/drain.ts';
import { exampleLines } from './transport/example-lines.ts';
import { type Ending, farewell } from './transport/farewell.ts';
import { Heartbeat } from './transport/heartbeat.ts';
import { Listener } from './transport/http-server.ts';
import { requestListener } from './transport/request-listener.ts';
import { callerOf } from './transport/rooms-route.ts';
import { WebSocketLink, WebSocketSink, websocketUpgrades } from './transport/upgrade.ts';
import { upgradeGate } from './transport/upgrade-gate.ts';
import { listen } from './transport/websocket.ts';

export type { Belfry, BelfryOptions } from './belfry.ts';
export { FeedError, type Reason } from './feed/feed.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/**
 * Puts a server together from a configuration in the form of `belfry.json`. Throws a `ConfigError`
 * that lists every fault. Nothing runs and no port is open until `start` or `run`.
 */
export function createBelfry(document: unknown = {}, options: BelfryOptions = {}): Belfry {
  const { clock = systemClock, logger, env = process.env, baseDirectory = process.cwd() } = options;
  const kinds = [...feedKinds, ...(options.feeds ?? [])];
  const config = parseConfig(document, { feedKinds: kinds, env });
  const madeToken = config.admin.tokens.length === 0 ? randomBytes(24).toString('base64url') : undefined;
  const settings = new Settings(
    config,
    madeToken ? { name: 'made for this run', role: 'operator', sha256: sha256Of(madeToken) } : undefined,
  );
  // These two follow a reload, wherever they are handed.
  const server = live(() => settings.config.server);
  const limits = live(() => settings.config.limits);
  const onFault = (what: string, err: unknown) => logger?.error({ err }, what);

  // Schedules, feeds, rooms

  const hubSettings = {
    get current() {
      return settings.hub;
    },
  };
  const hub: Hub = new Hub({
    clock,
    settings: hubSettings,
    log: new MemoryLog({ clock, settings: hubSettings }),
    currentTicks: { request: (room) => schedules.request(room) },
    server: `belfry ${version}`,
    processId: randomBytes(4).toString('hex'),
    onRoomMade: (room) => roomLimits.made(room),
    onRoomEnded: (room) => roomLimits.ended(room),
    onFault,
  });
  const schedules: Schedules = new Schedules({
    clock,
    hub,
    report: report(logger),
    settings: hubSettings,
  });
  const metrics = new Metrics({ clock, version, hub, schedules });
  const applySchedules = () => {
    const context = { clock, baseDirectory, env, stats: () => metrics.stats() };
    return schedules.apply(scheduleOptions(settings.config.schedules, kinds, context));
  };
  const reloads = new Reloads({
    clock,
    document,
    source: options.source,
    kinds,
    parse: (read) => parseConfig(read, { feedKinds: kinds, env }),
    settings,
    phase: () => lifecycle.phase,
    apply() {
      // Those in force then begin with the server.
      if (lifecycle.phase !== 'running') return { added: [], changed: [], removed: [], kept: [] };
      return applySchedules();
    },
    logger,
  });

  // Who may come in

  const refusedOrigins = new RefusedOrigins(clock, (detail) => logger?.warn(detail));
  /** When the drain ends, on the monotonic clock; set once it has begun. */
  let drainEndsAt: number | undefined;
  const isServing = () => lifecycle.phase === 'running' || lifecycle.phase === 'draining';
  const closed = () =>
    whyClosed(lifecycle.phase, (drainEndsAt ?? 0) - clock.monotonic(), hub.connectionCount);
  const roomLimits = new RoomLimits({
    limits,
    roomCount: () => hub.roomCount,
    exists: (room) => hub.hasRoom(room),
    isNamed: (room) => settings.rooms.isNamed(room),
  });
  const access: AccessRules = {
    get clients() {
      return settings.clients;
    },
    get origins() {
      return settings.origins;
    },
    get rooms() {
      return settings.rooms;
    },
    roomLimits,
    seats: new Seats({ limits, clock }),
    closed,
    lockOf: (room) => hub.refusalOf(room),
    onOriginRefused: (origin, detail) => refusedOrigins.refused(origin, detail),
  };

  // WebSocket and SSE

  const entrantOf = ({ peer }: Connection) => settings.clients.of(peer.remoteAddress, () => undefined);
  const roomMessages = new RoomMessageRates(() => limits.roomMessagesPerSecond, clock);
  const actionParts: ActionParts = {
    hub,
    clock,
    checkPublish: (room) => settings.rooms.checkPublish(room),
    countPublish: (room) => roomMessages.take(room),
    checkSubscribe(room, connection) {
      settings.rooms.checkSubscribe(room);
      roomLimits.checkSubscribe(room, connection.rooms, entrantOf(connection));
    },
    reserveRoom: (room, connection) => roomLimits.reserve([room], entrantOf(connection)),
  };
  const actions = builtInActions(actionParts);
  const heartbeat = new Heartbeat({ clock, hub, times: server });
  /** Of connections wherever they came in: a port of ours, or another server. */
  const sockets = new Map<Connection, Ending>();
  const gone = (connection: Connection) => {
    sockets.delete(connection);
    heartbeat.remove(connection);
    hub.disconnect(connection);
  };
  const session = {
    actions: new ActionTable({
      actions,
      exampleOf: exampleLines(actionParts),
      clock,
      onRefused: (reason) => metrics.refused(reason),
      onFault,
    }),
    limits: messageLimits(limits, clock),
    controls: messageLimits(CONTROL_FRAMES, clock),
    maxWaitingBytes: () => limits.maxPayloadBytes,
    now: () => clock.now(),
    ready: () => hub.ready(),
    onSeen: (connection: Connection) => heartbeat.seen(connection),
    onPong: (connection: Connection) => heartbeat.ponged(connection),
    onGone: gone,
    close: hub.close.bind(hub),
  };
  const join = (connection: Connection, { rooms, since, reservation }: Entry) => {
    metrics.connected(connection.transport);
    const joined = hub.join(connection, rooms, since);
    reservation.until(joined);
    return joined.catch((error) => onFault('somebody could not be welcomed', error));
  };
  const openWebSocket = websocketUpgrades({ maxPayloadBytes: () => limits.maxPayloadBytes, onFault });
  const upgrade = upgradeGate({
    enter: (caller) => enter(caller, access),
    accept: (request, socket, head, entry) =>
      openWebSocket({
        request,
        socket,
        head,
        onOpen(websocket) {
          if (lifecycle.phase !== 'running') return socket.destroy(); // stopped since it was let in
          const connection = hub.connect(entry.peer, new WebSocketSink(websocket, socket));
          sockets.set(connection, socket);
          heartbeat.add(connection, new WebSocketLink(websocket, socket));
          listen(websocket, socket, connection, join(connection, entry), session);
        },
      }),
    onRefused: (reason) => metrics.refused(reason),
    onFault,
  });

  // HTTP

  const app = httpApp({
    rooms: {
      hub,
      clock,
      currentTicks: schedules,
      access,
      page() {
        if (isServing()) return roomPage();
        throw closed();
      },
      connectStream(sink, entry, onGone) {
        const connection = hub.connect(entry.peer, sink);
        sockets.set(connection, sink.socket);
        heartbeat.add(connection);
        onGone(() => gone(connection));
        void join(connection, entry);
      },
    },
    admin: {
      hub,
      schedules,
      metrics,
      service: {
        stats: () => metrics.stats(),
        config: () => reloads.shown(),
        reload: () => reloads.reload(),
      },
      tokens: (token) => settings.tokens(token),
      attempts: new FailedAttempts(clock),
      addressOf(c) {
        const { peerAddress, header } = callerOf(c);
        return settings.clients.of(peerAddress, header).address;
      },
      bodyLimits: () => limits,
      openMetrics: () => server.openMetrics,
      onCalled: (operation, status) => metrics.adminCalled(operation, status),
    },
    notServing: () => (isServing() ? undefined : closed()),
    onRefused: (reason) => metrics.refused(reason),
    onFault,
  });
  const addressSockets = new AddressSockets({ limits, clients: () => settings.clients });
  const onRefused = (reason: RefusalReason) => metrics.refused(reason);
  const listener = new Listener({
    request: requestListener(app.fetch, onRefused),
    upgrade,
    clock,
    limits,
    takeSocket: (peerAddress) => addressSockets.take(peerAddress),
    unread: hub.unreadAnswers,
    onRefused,
    onCrowded: (detail) => logger?.warn(detail),
    onFault,
  });

  const lifecycle: Lifecycle = new Lifecycle({
    prepare: () => hub.start(),

    begin() {
      applySchedules();
      metrics.start();
    },

    async abandon() {
      listener.cut();
      await listener.close();
    },

    async end(signal) {
      const drainMs = server.drainSeconds * 1000;
      drainEndsAt = clock.monotonic() + drainMs;
      // Closing forgets a connection at once; its socket takes a little longer.
      const open = [...sockets.values()];
      await drain({ hub, clock, drainMs, sliceMs: limits.fanoutSliceMs, signal });
      heartbeat.stop();
      const cut = () => listener.cut();
      signal.addEventListener('abort', cut);
      if (signal.aborted) cut();
      await Promise.all([schedules.stop(), farewell(open, { clock, signal }), listener.close()]);
      signal.removeEventListener('abort', cut);
      metrics.stop();
      hub.stop();
    },
  });

  return {
    get config() {
      return settings.config;
    },
    madeToken,

    run: () => lifecycle.start(async () => {}),

    start: () =>
      lifecycle.start(async () => {
        const { address: host, port } = await listener.listen(server.host, server.port);
        return { host, port };
      }),

    stop: (signal) => lifecycle.stop(signal),

    reload: async () => reloads.reload(),
    nextDue: () => schedules.nextDue(),

    async publish({ target = {}, event = 'message', data }) {
      const text: string | undefined = JSON.stringify(data);
      if (text === undefined) throw new Refusal(400, `data is ${typeof data}: give what JSON can hold`);
      if (!isServing()) throw closed();
      return hub.publish({ target, event, data: text });
    },

    on: (name, listener) => listenTo(hub.events, name, listener),

    action(name, handler) {
      if (actions.has(name)) throw new Error(`action "${name}" is there already`);
      actions.set(name, handler);
    },

    fetch: (request, bindings) => app.fetch(request, bindings),
    upgrade,
  };
}

/** Logs what schedules report. */
function report(logger: Logger | undefined): Report {
  return {
    stateChanged(schedule, state, detail) {
      const level = state === 'error' || state === 'stale' ? 'warn' : 'info';
      logger?.[level]({ schedule, state, detail }, 'schedule changed state');
    },
    missed(schedule, { count, exact }) {
      logger?.warn(
        { schedule, count },
        exact ? 'instants were missed' : 'more instants than that were missed',
      );
    },
    overlapped(schedule) {
      logger?.warn({ schedule }, 'the feed was still being read when the next run came');
    },
    stepped(ms) {
      logger?.warn({ ms: Math.round(ms) }, "the computer's clock was set");
    },
    faulted(err) {
      logger?.error({ err }, 'a schedule threw: it is tried again, the others go on');
    },
  };
}
