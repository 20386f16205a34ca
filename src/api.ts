import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { SOME_TIME_ACCEPTS, someCallDurationMs } from './duration.ts';
import type { FeedKind } from './feed/feed.ts';
import { Refusal, shown } from './hub/errors.ts';
import type { Sender, Target } from './hub/event.ts';
import type { Hub } from './hub/hub.ts';
import type { Published } from './hub/publication.ts';
import type { HubEvents } from './hub/views.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Logger } from './observe/log.ts';
import type { Applied } from './schedule/schedules.ts';
import type { ClientAction, Sent } from './transport/action-table.ts';

/** The second argument of `createBelfry`. */
export interface BelfryOptions {
  /** More kinds of feed, beside the built-in ones. */
  readonly feeds?: readonly FeedKind[];
  /**
   * Where `tokenEnv`, `BELFRY_ADMIN_TOKEN` and `${…}` are looked up, and `PATH` and the like for commands.
   * Default: `process.env`.
   */
  readonly env?: NodeJS.ProcessEnv;
  /** Where relative paths in the configuration start. Default: the working directory. */
  readonly baseDirectory?: string;
  /** Where the configuration is read from, for a reload. Default: there is none. */
  readonly source?: DocumentSource;
  /** Default: nothing is logged. */
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** A configuration that can be read again. */
export interface DocumentSource {
  /** Its name in messages, such as the path of the file. */
  readonly label: string;
  /** Throws a `ConfigError` where it cannot be read. */
  read(): unknown;
}

/** A message that was published, by the admin API, the program or a client. */
export interface PublishedMessage {
  readonly id: string;
  readonly room: string;
  readonly event: string;
  /** RFC 3339. */
  readonly time: string;
  readonly data: unknown;
  readonly from?: Sender;
  /** Of a retained message. */
  readonly key?: string;
  /** When a retained message ends, RFC 3339. */
  readonly until?: string;
}

/** A client has joined a room, or left it. */
export interface Presence {
  readonly room: string;
  readonly connection: string;
  readonly device?: string;
  /** The user that the client's token names. */
  readonly user?: string;
  /**
   * With a user: how many connections of the same user are in the room now, 1 when the user comes and 0 when
   * the last one has left.
   */
  readonly userConnections?: number;
}

/** The events that a program can listen to, each with what its listeners get. */
export interface BelfryEvents {
  message: PublishedMessage;
  join: Presence;
  leave: Presence;
}

/** The client that asks for an action. */
export interface ActionClient {
  /** The id of its connection, as in the admin API. */
  readonly id: string;
  /** The device that it named when it connected. */
  readonly device?: string;
  /** The user that its token names. */
  readonly user?: string;
  /** The rooms that it is in, at the moment of the call. */
  readonly rooms: readonly string[];
  readonly remoteAddress: string;
}

/** What an action is called with. */
export interface ActionCall {
  readonly client: ActionClient;
  /** What the client sent: a JSON object with `action`, and perhaps `ref` and `data`. Nothing else is checked. */
  readonly sent: Sent;
  /** When it came in, milliseconds since the epoch. */
  readonly receivedAtMs: number;
}

/**
 * What clients may ask for over WebSocket. Returns the `data` of the reply, or a promise of it: anything
 * that JSON can hold, `{}` for nothing. A `Refusal` that it throws is an error reply with its status and
 * message; anything else is a 500 for the client, and a line in the log.
 */
export type Action = (call: ActionCall) => unknown;

/** Where a server listens. */
export interface Started {
  readonly host: string;
  readonly port: number;
}

/** What a reload did: names of schedules, and what it could not do. */
export interface Reloaded extends Applied {
  /** Keys that are different now and take effect with the next start only. */
  readonly needsRestart: readonly string[];
}

/**
 * A whole server: `start` makes it listen, or put `fetch` and `upgrade` into a server of your own and
 * call `run`. It lives once: after `stop` make another one.
 */
export interface Belfry {
  /** What is in force. */
  readonly config: Config;
  /** The operator's token that was made for this run, where none is configured. */
  readonly madeToken: string | undefined;
  /**
   * Starts the schedules without a port of its own. Call this or `start`, once: it rejects where the
   * server is starting, runs or was stopped, and with an `AbortError` where `stop` is called meanwhile.
   */
  run(): Promise<void>;
  /**
   * As `run`, and listens on the configured address. Rejects with Node's error where it cannot; nothing
   * is left of that then, and it may be called again.
   */
  start(): Promise<Started>;
  /**
   * Closes every connection over `server.drainSeconds`, then ends everything, also in the middle of a
   * start; once `signal` aborts, at once. Leaves nothing running, no socket that came through `fetch` or
   * `upgrade` either. Every call returns the same promise, and its signal counts.
   */
  stop(signal?: AbortSignal): Promise<void>;
  /**
   * Reads the configuration again and applies it, or throws a `Refusal` that lists its faults. Before
   * the server runs nothing is started by it: what was read counts when `start` or `run` is called, and
   * the lists of the answer are empty. Refused with 409 once it is stopping.
   */
  reload(): Promise<Reloaded>;
  /** The schedule that is due first, and when, in milliseconds since the epoch. */
  nextDue(): { schedule: string; due: number } | null;
  /**
   * Publishes to rooms, devices, connections or users; to every room where no target is named. With a `key`
   * its rooms retain the message in place of the one with that key, for clients that join later: until it is
   * replaced or withdrawn, or for `ttl`, a duration such as `'1h'`. Rejects with a `Refusal`, 503 where the
   * server does not run.
   */
  publish(message: {
    target?: Target;
    event?: string;
    data: unknown;
    key?: string;
    ttl?: string;
  }): Promise<Published>;
  /**
   * Calls `listener` for each message, join or leave from now on. Returns a function that removes it.
   * There may be any number. An error that one throws is logged, and the others are called. Throws a
   * `TypeError` for another name.
   */
  on<Name extends keyof BelfryEvents>(name: Name, listener: (event: BelfryEvents[Name]) => void): () => void;
  /**
   * Adds an action that clients may ask for: `{"action":"double","data":21}` calls the one of the name
   * `double`. May be called at any time. Throws an `Error` where the name is taken.
   */
  action(name: string, action: Action): void;
  /**
   * For HTTP requests that reach another server; SSE needs `@hono/node-server`'s bindings as `env`. Before
   * the server runs and after it stopped it answers 503, and `/livez`.
   */
  fetch(request: Request, env?: object): Response | Promise<Response>;
  /** For the `upgrade` event of another server; 503 where the server does not run. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** An action of a program in the form of the built-in ones: it gets a copy of what it may know of its client. */
export function clientAction(action: Action): ClientAction {
  return {
    perform({ connection, sent, receivedAtMs }) {
      const { device, user, remoteAddress } = connection.peer;
      const client = {
        id: connection.id,
        ...(device && { device }),
        ...(user && { user }),
        rooms: [...connection.rooms],
        remoteAddress,
      };
      return action({ client, sent, receivedAtMs });
    },
  };
}

/** `Belfry.publish`. */
export async function publishMessage(
  { hub, lifecycle }: { hub: Pick<Hub, 'publish'>; lifecycle: Pick<Lifecycle, 'isServing' | 'checkOpen'> },
  { target = {}, event = 'message', data, key, ttl }: Parameters<Belfry['publish']>[0],
): Promise<Published> {
  const text: string | undefined = JSON.stringify(data);
  if (text === undefined) throw new Refusal(400, `data is ${typeof data}: give what JSON can hold`);
  if (!lifecycle.isServing) lifecycle.checkOpen();
  return hub.publish({ target, event, data: text, key, ttlMs: ttlMsOf(ttl) });
}

/** Throws a 400 `Refusal`: the program may be written without types. */
function ttlMsOf(ttl: string | undefined): number | undefined {
  if (ttl === undefined) return undefined;
  const ms = typeof ttl === 'string' ? someCallDurationMs(ttl) : undefined;
  if (ms === undefined) throw Refusal.invalid('ttl', `${shown(ttl)} is not a duration: ${SOME_TIME_ACCEPTS}`);
  return ms;
}

/** `Belfry.on`. */
export function addListener<Name extends keyof BelfryEvents>(
  events: EventEmitter<HubEvents>,
  name: Name,
  listener: (event: BelfryEvents[Name]) => void,
): () => void {
  // A program may have a listener for each of its own users; Node would take eleven for a leak.
  events.setMaxListeners(0);
  // `name` and `listener` belong together by the type of `on`; a switch cannot follow that.
  const call = listener as (event: BelfryEvents[keyof BelfryEvents]) => void;
  // A function of its own for each call: a listener that was given twice is removed once.
  const onMessage = (event: HubEvents['message'][0]) => call(publishedMessage(event));
  const onPresence = (presence: HubEvents['join'][0]) => call(presenceOf(presence));
  switch (name) {
    case 'message':
      events.on('message', onMessage);
      return () => void events.off('message', onMessage);
    case 'join':
      events.on('join', onPresence);
      return () => void events.off('join', onPresence);
    case 'leave':
      events.on('leave', onPresence);
      return () => void events.off('leave', onPresence);
    default:
      throw new TypeError(`there is no "${name}" to listen to: "message", "join" and "leave" are`);
  }
}

/** The event of the hub as listeners get it. */
function publishedMessage(event: HubEvents['message'][0]): PublishedMessage {
  const { data = 'null', id = '', room = '', event: name, time, from, key, until } = event;
  const retained = { ...(key !== undefined && { key }), ...(until !== undefined && { until }) };
  return { id, room, event: name, time, data: JSON.parse(data), ...(from && { from }), ...retained };
}

/** The same for a client that joins or leaves. */
function presenceOf({ room, connection, userConnections }: HubEvents['join'][0]): Presence {
  const { device, user } = connection.peer;
  return {
    room,
    connection: connection.id,
    ...(device && { device }),
    ...(user && { user, userConnections }),
  };
}
