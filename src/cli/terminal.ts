/** What a command that ends by itself uses of its process. */
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

/** What was asked for cannot be done or printed. */
export const EXIT_FAILED = 1;
/** The configuration is at fault. */
export const EXIT_CONFIG = 2;
