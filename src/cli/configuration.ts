import { ConfigError, formatFaults } from '../config/errors.ts';
import { applyOverrides, type ConfigSource, findConfig } from '../config/load.ts';
import { parseConfig } from '../config/parse.ts';
import type { Config } from '../config/schema.ts';
import { feedKinds } from '../feed/kinds.ts';
import { CommandError, EXIT_CONFIG, type Terminal } from './command.ts';

interface CheckedConfig {
  readonly label: string;
  readonly config: Config;
  /** Where relative paths of the configuration start. */
  readonly baseDirectory: string;
}

/**
 * The configuration as `serve` would take it, without a server: its libraries take longer to load than all the
 * rest. Throws a `CommandError` with all faults.
 */
export function checkedConfig(path: string | undefined, terminal: Terminal): CheckedConfig {
  const { document, label, baseDirectory } = orCommandError('', () => findNamed(path, terminal));
  const { env } = terminal;
  const config = orCommandError(label, () =>
    parseConfig(applyOverrides(document, { env }), { feedKinds, env, baseDirectory }),
  );
  return { label, config, baseDirectory };
}

/** The configuration that `--config` names, or the usual one. Throws a `ConfigError`. */
export function findNamed(path: string | undefined, { env, cwd }: Terminal): ConfigSource {
  // As `--config "$FILE"` gives where the variable is not set.
  if (path === '') {
    throw new ConfigError([{ source: 'the configuration', path: '', message: '"" names no file' }]);
  }
  return findConfig({ env, cwd: cwd(), ...(path && { path }) });
}

/** Turns a `ConfigError` into a `CommandError` with a line for each fault. `label` names the file. */
export function orCommandError<T>(label: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError(EXIT_CONFIG, formatFaults(label, error));
    throw error;
  }
}
