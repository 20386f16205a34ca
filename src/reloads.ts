import { isDeepStrictEqual } from 'node:util';
import { type ConfigEntry, refusedConfig } from './admin/server.ts';
import type { DocumentSource, Reloaded } from './api.ts';
import { type Clock, instant } from './clock.ts';
import { ConfigError, type Fault } from './config/errors.ts';
import { Secrets } from './config/redact.ts';
import { type Config, configJsonSchema } from './config/schema.ts';
import type { FeedKind } from './feed/feed.ts';
import type { ChangedRules } from './hub/changed-rules.ts';
import { Refusal } from './hub/errors.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Logger } from './observe/log.ts';
import type { Applied } from './schedule/schedules.ts';
import { Settings, type SettingsHolder, type SettingsParts } from './settings.ts';

/** Keys that take effect at the next start only, since the port is bound once; so does `store`. */
const BOUND_ONCE = ['host', 'port'] as const;

const NONE_APPLIED: Applied = { added: [], changed: [], removed: [], kept: [] };

export interface ReloadsParts extends SettingsParts {
  readonly clock: Clock;
  /** The document of the first configuration. */
  readonly document: unknown;
  readonly source: DocumentSource | undefined;
  readonly kinds: readonly FeedKind[];
  /** Throws a `ConfigError`. `boundHost`: where the server listens already. */
  readonly parse: (document: unknown, boundHost: string | undefined) => Config;
  readonly settings: SettingsHolder;
  readonly lifecycle: Pick<Lifecycle, 'phase'>;
  /** Applies the schedules in force; all of them or, where it throws, none. */
  readonly applySchedules: () => Applied;
  /** Ends what the configuration in force does not allow any more. */
  readonly applyRules: (changed: Pick<ChangedRules, 'areTokensOutdated'>) => void;
  readonly logger: Logger | undefined;
}

/**
 * The configuration in force, and another one in its place. A faulty one changes nothing: its faults
 * are answered, logged and kept to be looked up, and what is in force goes on.
 */
export class Reloads {
  readonly #parts: ReloadsParts;
  #document: unknown;
  /** The document in force without its secrets; made when it is first asked for. */
  #shown: Record<string, unknown> | undefined;
  #loadedAtMs: number;
  #faults: readonly Pick<Fault, 'path' | 'message'>[] = [];

  constructor(parts: ReloadsParts) {
    this.#parts = parts;
    this.#document = parts.document;
    this.#loadedAtMs = parts.clock.now();
  }

  /** The answer of `GET /admin/config`: every default filled in, nothing secret. */
  configEntry(): ConfigEntry {
    const { source, kinds, settings } = this.#parts;
    this.#shown ??= new Secrets(kinds).shownConfig(this.#document, configJsonSchema(kinds));
    const shown = this.#shown;
    const { store, server } = settings.current.config;
    const { store: read, ...rest } = shown;
    return {
      source: source?.label ?? 'the program that embeds this server',
      loadedAt: instant(this.#loadedAtMs),
      faults: this.#faults,
      config: {
        ...rest,
        server: { ...Object(shown.server), host: server.host, port: server.port },
        ...(store && { store }),
      },
    };
  }

  /**
   * Rejects with a 422 `Refusal` for a faulty configuration, with 409 where there is none to read or
   * the server is stopping.
   */
  async reload(): Promise<Reloaded> {
    const { source, settings, logger, clock } = this.#parts;
    const { phase } = this.#parts.lifecycle;
    if (phase === 'draining' || phase === 'stopped') throw new Refusal(409, 'the server is stopping');
    if (!source)
      throw new Refusal(409, 'the configuration was not read from a file, so it cannot be reloaded');
    const before = settings.current;
    try {
      const document = source.read();
      // Before the start no port is bound.
      const read = this.#parts.parse(document, phase === 'new' ? undefined : before.server.host);
      const { host, port } = phase === 'new' ? read.server : before.server;
      // The log is made with the server.
      const inForce = { ...read, server: { ...read.server, host, port }, store: before.config.store };
      settings.current = new Settings(inForce, this.#parts, before);
      // Before the server runs it starts none: those in force then begin with it.
      const applied = phase === 'running' ? this.#parts.applySchedules() : NONE_APPLIED;
      if (before.remoteKeys !== settings.current.remoteKeys) before.remoteKeys?.stop();
      this.#parts.applyRules({ areTokensOutdated: before.subscribers !== settings.current.subscribers });
      this.#document = document;
      this.#shown = undefined;
      this.#loadedAtMs = clock.now();
      this.#faults = [];
      const needsRestart = restartKeys(settings.current.config, read);
      if (needsRestart.length > 0) logger?.warn({ needsRestart }, 'takes effect with the next start only');
      logger?.info(applied, 'configuration reloaded');
      return { ...applied, needsRestart };
    } catch (error) {
      settings.current = before;
      if (!(error instanceof ConfigError)) throw error;
      this.#faults = error.faults.map(({ path, message }) => ({ path, message }));
      const refusal = refusedConfig(source.label, error.faults);
      logger?.error({ faults: error.faults }, 'the configuration was not reloaded: it has faults');
      throw refusal;
    }
  }
}

function restartKeys(inForce: Config, read: Config): string[] {
  const ofServer = BOUND_ONCE.filter((key) => inForce.server[key] !== read.server[key]);
  const keys = ofServer.map((key) => `server.${key}`);
  return isDeepStrictEqual(inForce.store, read.store) ? keys : [...keys, 'store'];
}
