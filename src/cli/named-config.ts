import { ConfigError, formatFaults } from '../config/errors.ts';
import { applyOverrides, type ConfigSource, findConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { createBelfry } from '../server.ts';
import { CommandError, EXIT_CONFIG, type Terminal } from './terminal.ts';

/** The configuration that `--config` names, or the usual one. Throws a `ConfigError`. */
export function findNamed(path: string | undefined, { env, cwd }: Terminal): ConfigSource {
  // As from a variable that is not set.
  if (path === '') {
    throw new ConfigError([{ source: 'the configuration', path: '', message: '"" names no file' }]);
  }
  return findConfig({ env, cwd: cwd(), ...(path && { path }) });
}

/** As `findNamed`, and without a fault in it. Throws a `CommandError`. */
export function checkedConfig(
  path: string | undefined,
  terminal: Terminal,
): { label: string; config: Config } {
  const { document, label, baseDirectory } = orCommandError('', () => findNamed(path, terminal));
  const { env } = terminal;
  const { config } = orCommandError(label, () =>
    createBelfry(applyOverrides(document, { env }), { env, baseDirectory }),
  );
  return { label, config };
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
