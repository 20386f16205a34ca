import { ClientAddresses } from './access/client-address.ts';
import { Origins } from './access/origins.ts';
import { RoomRules } from './access/room-rules.ts';
import { type TokenCheck, type TokenEntry, tokenCheck } from './access/tokens.ts';
import type { Config } from './config/schema.ts';
import type { HubSettings } from './hub/settings.ts';
import type { HistorySettings } from './log/room-histories.ts';

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

  /** `madeToken` counts where the configuration names no token. */
  constructor(config: Config, madeToken: TokenEntry | undefined) {
    const { admin, limits, rooms, server } = config;
    this.config = config;
    this.server = server;
    this.limits = limits;
    this.heartbeatSeconds = server.heartbeatSeconds;
    this.emptyRoomSeconds = server.emptyRoomSeconds;
    this.rooms = new RoomRules(rooms);
    this.origins = new Origins(server);
    this.tokens = tokenCheck(admin.tokens.length === 0 && madeToken ? [madeToken] : admin.tokens);
    this.addresses = new ClientAddresses(server.trustProxy);
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
