import { ClientAddresses } from './access/client-address.ts';
import { Origins } from './access/origins.ts';
import { type RoomRule, RoomRules } from './access/room-rules.ts';
import { type TokenCheck, type TokenEntry, tokenCheck } from './access/tokens.ts';
import type { Config } from './config/schema.ts';
import type { HubSettings } from './hub/settings.ts';
import type { MemoryLogSettings } from './log/memory-log.ts';

/** Everything that a reload replaces, made from one configuration. */
interface Made {
  readonly config: Config;
  readonly rooms: RoomRules;
  readonly origins: Origins;
  readonly tokens: TokenCheck;
  readonly clients: ClientAddresses;
  /** What the hub and its log need of all this. */
  readonly hub: HubSettings & MemoryLogSettings;
}

/**
 * What is in force, for parts that live longer than a configuration: they ask here each time, or
 * hold an object that `live` made.
 */
export class Settings implements Made {
  #made: Made;
  readonly #madeToken: TokenEntry | undefined;

  /** `madeToken` counts where the configuration names no token. */
  constructor(config: Config, madeToken: TokenEntry | undefined) {
    this.#madeToken = madeToken;
    this.#made = make(config, madeToken);
  }

  /** Takes over another configuration; all of it or, where it throws, nothing. */
  replace(config: Config): void {
    this.#made = make(config, this.#madeToken);
  }

  get config(): Config {
    return this.#made.config;
  }

  get rooms(): RoomRules {
    return this.#made.rooms;
  }

  get origins(): Origins {
    return this.#made.origins;
  }

  get tokens(): TokenCheck {
    return this.#made.tokens;
  }

  get clients(): ClientAddresses {
    return this.#made.clients;
  }

  get hub(): HubSettings & MemoryLogSettings {
    return this.#made.hub;
  }
}

function make(config: Config, madeToken: TokenEntry | undefined): Made {
  const { tokens } = config.admin;
  const rooms = new RoomRules(config.rooms satisfies readonly RoomRule[]);
  return {
    config,
    rooms,
    origins: new Origins(config.server),
    tokens: tokenCheck(tokens.length === 0 && madeToken ? [madeToken] : tokens),
    clients: new ClientAddresses(config.server.trustProxy),
    hub: {
      limits: config.limits,
      heartbeatSeconds: config.server.heartbeatSeconds,
      emptyRoomSeconds: config.server.emptyRoomSeconds,
      retentionOf: (room) => rooms.retentionOf(room),
      conflates: (room) => rooms.conflates(room),
    },
  };
}

/** An object whose properties are always those of what `read` returns now. They must not be copied. */
export function live<Values extends object>(read: () => Values): Values {
  const properties = Object.keys(read()).map((key) => [
    key,
    // The keys are those of `Values`.
    { enumerable: true, get: () => read()[key as keyof Values] },
  ]);
  return Object.defineProperties({}, Object.fromEntries(properties)) as Values; // it has its keys
}
