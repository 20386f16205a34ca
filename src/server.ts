import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Admission } from './access/admission.ts';
import { ConnectionLimiter } from './access/connection-limits.ts';
import { ListenerMessageRates, RoomMessageRates } from './access/rate-limits.ts';
import { RoomLimiter } from './access/room-limits.ts';
import type { TokenEntry } from './access/tokens.ts';
import { builtInActions } from './actions.ts';
import { FailedAttempts } from './admin/guard.ts';
import { addListener, type Belfry, type BelfryOptions, clientAction, publishMessage } from './api.ts';
import { systemClock } from './clock.ts';
import { sha256Of } from './config/admin-tokens.ts';
import { parseConfig } from './config/parse.ts';
import { scheduleOptions } from './config/schedule.ts';
import { feedKinds } from './feed/kinds.ts';
import { httpApp, requestListener } from './http-app.ts';
import type { RefusalReason } from './hub/errors.ts';
import { Hub } from './hub/hub.ts';
import { IdempotencyKeys } from './hub/idempotency.ts';
import { WaitingBroadcasts } from './hub/waiting-broadcasts.ts';
import { Lifecycle, shutDown } from './lifecycle.ts';
import { LmdbLog } from './log/lmdb-log.ts';
import { MemoryLog } from './log/memory-log.ts';
import { PauseRecords } from './log/pause-records.ts';
import type { Logger } from './observe/log.ts';
import { Metrics } from './observe/metrics.ts';
import { RefusedOrigins } from './observe/refused-origins.ts';
import type { Transport } from './protocol/event.ts';
import { Reloads } from './reloads.ts';
import type { Report } from './schedule/options.ts';
import { Schedules } from './schedule/schedules.ts';
import { Settings, type SettingsHolder } from './settings.ts';
import { ActionTable } from './transport/action-table.ts';
import { Heartbeat } from './transport/client.ts';
import { Listener } from './transport/http-server.ts';
import { clientAddressOf } from './transport/rooms-route.ts';
import { StreamGate } from './transport/stream-gate.ts';
import { webSocketGate } from './transport/websocket.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/**
 * Makes a server from a configuration in the form of `belfry.json`. Nothing runs and no port is open until
 * `start` or `run`. Throws a `ConfigError` that lists every fault of the configuration.
 *
 *     const belfry = createBelfry({ schedules: [{ name: 'clock', every: '3s', feed: { type: 'time' } }] });
 *     const { port } = await belfry.start();
 *     await belfry.publish({ target: { rooms: ['lobby'] }, data: 'hello' });
 *     await belfry.stop();
 */
export function createBelfry(document: unknown = {}, options: BelfryOptions = {}): Belfry {
  const { clock = systemClock, logger, env = process.env, baseDirectory = process.cwd() } = options;
  // The same list again has its schema already.
  const kinds = options.feeds?.length ? [...feedKinds, ...options.feeds] : feedKinds;
  const config = parseConfig(document, { feedKinds: kinds, env, baseDirectory });
  const madeToken = config.admin.tokens.length === 0 ? randomBytes(24).toString('base64url') : undefined;
  const tokenEntry: TokenEntry | undefined =
    madeToken === undefined
      ? undefined
      : { name: 'made for this run', role: 'operator', sha256: sha256Of(madeToken) };
  const onFault = (what: string, err: unknown) => logger?.error({ err }, what);
  const settingsParts = { madeToken: tokenEntry, clock, onFault };
  const settings: SettingsHolder = { current: new Settings(config, settingsParts) };
  const onRefused = (reason: RefusalReason) => metrics.refused(reason);

  // Schedules, feeds, rooms

  const { store } = config;
  const log = store
    ? new LmdbLog({
        folder: resolve(baseDirectory, store.path),
        maxBytes: store.maxBytes,
        clock,
        settings,
        onFault,
      })
    : new MemoryLog({ clock, settings });
  const idempotency = new IdempotencyKeys({ clock, log, settings });
  const hub: Hub = new Hub({
    clock,
    settings,
    log,
    currentTicks: { request: (room) => schedules.request(room) },
    // Without the version, which a stranger could look up known faults for.
    server: 'belfry',
    processId: randomBytes(4).toString('hex'),
    onRoomMade: (room) => roomLimiter.made(room),
    onRoomEnded: (room) => roomLimiter.ended(room),
    onFault,
  });
  const broadcasts = new WaitingBroadcasts({
    clock,
    log,
    hub,
    settings,
    onMissed: (missed) => logger?.warn(missed, 'a broadcast was missed: it is not sent any more'),
    onFault,
  });
  const schedules: Schedules = new Schedules({
    clock,
    hub,
    report: report(logger),
    settings,
    pauses: new PauseRecords(log),
  });
  const metrics: Metrics = new Metrics({ clock, version, hub, schedules, broadcasts });
  const feedContext = { clock, baseDirectory, env, stats: () => metrics.stats() };
  const applySchedules = () =>
    schedules.apply(scheduleOptions(settings.current.config.schedules, kinds, feedContext));

  // From start to stop

  const connections = new ConnectionLimiter({ settings, clock });
  const lifecycle = new Lifecycle({
    clock,
    settings,
    connections,
    async prepare() {
      await log.open();
      await hub.start();
      await schedules.start();
      await idempotency.start();
      await broadcasts.start();
    },
    begin() {
      applySchedules();
      broadcasts.run();
      metrics.start();
    },
    async abandon() {
      listener.cut();
      await listener.close();
      hub.stop();
      await log.close();
    },
    async end(drainMs, signal) {
      broadcasts.stop();
      settings.current.remoteKeys?.stop();
      const parts = { clock, settings, hub, connections, heartbeat, upgrades, listener, schedules, metrics };
      await shutDown(parts, drainMs, signal);
      await log.close();
    },
  });
  const reloads = new Reloads({
    ...settingsParts,
    document,
    source: options.source,
    kinds,
    parse: (read, boundHost) => parseConfig(read, { feedKinds: kinds, env, baseDirectory, boundHost }),
    settings,
    lifecycle,
    applySchedules,
    applyRules: ({ areTokensOutdated }) => {
      const returnAfterMs = (clients: number) => connections.returnAfterMs(0, clients);
      hub
        .applyChangedRules({ areTokensOutdated, returnAfterMs })
        .catch((error) => onFault('the rules of a reload could not be applied to all connections', error));
    },
    logger,
  });

  // Who may connect

  const refusedOrigins = new RefusedOrigins(clock, (detail) => logger?.warn(detail));
  const roomLimiter = new RoomLimiter({ settings, hub });
  const admission = new Admission({
    settings,
    connections,
    rooms: roomLimiter,
    hub,
    lifecycle,
    onOriginRefused: (origin, detail) => refusedOrigins.refused(origin, detail),
  });

  // WebSocket and SSE, on a port of its own or through another server

  const roomRates = new RoomMessageRates(settings, clock);
  const listenerRates = new ListenerMessageRates(settings, clock);
  const actions = new ActionTable(builtInActions({ hub, clock, access: admission, roomRates }), {
    clock,
    onRefused,
    onFault,
  });
  const heartbeat = new Heartbeat({ clock, hub, settings });
  const onConnected = (transport: Transport) => metrics.connected(transport);
  const clientParts = { hub, clock, settings, heartbeat, actions, onConnected, onFault };
  const upgrades = webSocketGate({ admission, clients: clientParts, onRefused });

  // HTTP

  const app = httpApp({
    rooms: { hub, clock, currentTicks: schedules, settings, admission, clientParts },
    pages: { settings, nextOf: (schedule) => schedules.nextOf(schedule) },
    admin: {
      hub,
      idempotency,
      broadcasts,
      schedules,
      metrics,
      server: {
        stats: () => metrics.stats(),
        config: () => reloads.configEntry(),
        reload: () => reloads.reload(),
      },
      clock,
      attempts: new FailedAttempts(clock),
      addressOf: (c) => clientAddressOf(c, settings.current.addresses).address,
      settings,
      countMessage(room, sender) {
        listenerRates.take(sender);
        roomRates.take(room);
      },
      onCalled: (operation, status) => metrics.adminCalled(operation, status),
      onActed: (entry) => logger?.info({ audit: true, ...entry }, 'admin call'),
    },
    lifecycle,
    onRefused,
    onFault,
  });
  const listener = new Listener({
    request: requestListener(app.fetch, onRefused, new StreamGate({ admission, settings, onRefused })),
    upgrade: upgrades.onUpgrade,
    clock,
    settings,
    connections,
    unread: hub.unreadAnswers,
    onRefused,
    onCrowded: (detail) => logger?.warn(detail),
    onFault,
  });

  return {
    get config() {
      return settings.current.config;
    },
    madeToken,

    run: () => lifecycle.start(async () => {}),

    start: () =>
      lifecycle.start(async () => {
        const { address: host, port } = await listener.listen(
          settings.current.server.host,
          settings.current.server.port,
        );
        return { host, port };
      }),

    stop: (signal) => lifecycle.stop(signal),

    reload: async () => reloads.reload(),
    nextDue: () => schedules.nextDue(),

    publish: (message) => publishMessage({ hub, lifecycle }, message),
    on: (name, listener) => addListener(hub.events, name, listener),

    action: (name, action) => actions.add(name, clientAction(action)),

    fetch: (request, bindings) => app.fetch(request, bindings),
    upgrade: upgrades.onUpgrade,
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
    notStored(err) {
      logger?.error({ err }, 'that a schedule was paused or resumed could not be stored');
    },
  };
}
