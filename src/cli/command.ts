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
