import { ConfigError, formatFaults } from '../config/errors.ts';
import { type ConfigSource, findConfig } from '../config/load.ts';

/** The parts of a process that a command uses. */
export interface Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  cwd(): string;
}

/** A command that cannot do what it was asked for: lines for standard error, and the exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(exitCode: number, lines: readonly string[]) {
    super(lines.join('\n'));
    this.exitCode = exitCode;
  }
}

/** What `belfry watch` shows where no room is named. */
export const DEFAULT_URL = 'ws://127.0.0.1:8080/rooms/lobby';

/** The command could not do or print what it should. */
export const EXIT_FAILED = 1;
/** The configuration is at fault. */
export const EXIT_CONFIG = 2;

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
