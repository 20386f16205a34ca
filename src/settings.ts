import { isDeepStrictEqual } from 'node:util';
import { ClientAddresses } from './access/client-address.ts';
import { Origins } from './access/origins.ts';
import { RemoteKeys, type RemoteKeysParts } from './access/remote-keys.ts';
import { RoomRules } from './access/room-rules.ts';
import { SubscriberTokens } from './access/subscriber-tokens.ts';
import { type TokenCheck, type TokenEntry, tokenCheck } from './access/tokens.ts';
import type { Access } from './config/access.ts';
import type { Config } from './config/schema.ts';
import { type RoomMatcher, roomsMatcher } from './hub/event.ts';
import type { HubSettings } from './hub/settings.ts';
import type { Subscriber } from './hub/subscriber.ts';
import type { HistorySettings } from './log/room-histories.ts';

export interface SettingsParts extends RemoteKeysParts {
  /** Counts where the configuration names no admin token. */
  readonly madeToken: TokenEntry | undefined;
}

/** Everything that a reload replaces: an immutable snapshot made from one configuration. */
export class Settings implements HubSettings, HistorySettings {
  readonly config: Config;
  readonly server: Config['server'];
  readonly limits: Config['limits'];
  readonly heartbeatSeconds: number;
  readonly emptyRoomSeconds: number;
  readonly rooms: RoomRules;
  readonly origins: Origins;
  readonly tokens: TokenCheck;
  readonly addresses: ClientAddresses;
  /** The same object for as long as tokens are verified in the same way. */
  readonly subscribers: SubscriberTokens | undefined;
  /** Fetches the keys of `subscribers`; to be stopped when no snapshot has them any more. */
  readonly remoteKeys: RemoteKeys | undefined;
  readonly #schedules: readonly { readonly name: string; readonly reaches: RoomMatcher }[];

  /** Keys that were fetched for the snapshot `before` count on where their address is the same. */
  constructor(config: Config, parts: SettingsParts, before?: Settings) {
    const { access, admin, limits, rooms, server } = config;
    const { madeToken, clock } = parts;
    this.config = config;
    this.server = server;
    this.limits = limits;
    this.heartbeatSeconds = server.heartbeatSeconds;
    this.emptyRoomSeconds = server.emptyRoomSeconds;
    this.rooms = new RoomRules(rooms);
    this.origins = new Origins(server);
    this.#schedules = config.schedules.map(({ name, rooms }) => ({ name, reaches: roomsMatcher(rooms) }));
    this.tokens = tokenCheck(admin.tokens.length === 0 && madeToken ? [madeToken] : admin.tokens);
    this.addresses = new ClientAddresses(server.trustProxy);
    const jwksUrl = access?.jwksUrl;
    const isSame = before?.remoteKeys && before.remoteKeys.address === jwksUrl;
    if (isSame) this.remoteKeys = before.remoteKeys;
    else if (jwksUrl !== undefined) this.remoteKeys = new RemoteKeys(jwksUrl, parts);
    const keys = access?.key ?? this.remoteKeys;
    if (before && isSameAccess(access, before.config.access)) this.subscribers = before.subscribers;
    else if (access && keys) this.subscribers = new SubscriberTokens(access, keys, clock);
  }

  retentionOf(room: string): { readonly messages: number; readonly ms: number } {
    return this.rooms.retentionOf(room);
  }

  joinHistoryOf(room: string): number {
    return this.rooms.joinHistoryOf(room);
  }

  isNamed(room: string): boolean {
    return this.rooms.isNamed(room);
  }

  isExpected(room: string): boolean {
    return this.rooms.isExpected(room);
  }

  /** Names of the schedules that reach a room, in the order of the file. */
  schedulesOf(room: string): readonly string[] {
    return this.#schedules.filter(({ reaches }) => reaches(room)).map(({ name }) => name);
  }

  mayListen(room: string, subscriber: Subscriber | undefined): boolean {
    return this.rooms.mayListen(room, subscriber);
  }

  conflates(room: string): boolean {
    return this.rooms.conflates(room);
  }
}

/**
 * Holds the snapshot in force. What outlives a reload holds this object and reads `current` where it needs
 * it; only a reload writes it.
 */
export interface SettingsHolder {
  current: Settings;
}

function isSameAccess(a: Access | undefined, b: Access | undefined): boolean {
  const { key, ...rest } = a ?? {};
  const { key: keyBefore, ...restBefore } = b ?? {};
  const isSameKey = key && keyBefore ? key.key.equals(keyBefore.key) : key === keyBefore;
  return isSameKey && isDeepStrictEqual(rest, restBefore);
}
