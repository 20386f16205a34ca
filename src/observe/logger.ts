import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import { LogOutput } from './log-output.ts';

export type { Logger };

/** Where a server logs: `stdout`, and `stderr` for what is wrong with it. */
export interface Standard {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/**
 * The log of a server: lines for people in a terminal, JSON elsewhere; to standard output. It outlives
 * what becomes of that: see `LogOutput`.
 */
export function createLogger({ stdout, stderr }: Standard): Logger {
  const options = { base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  const forPeople = { format: pretty.prettyFactory({ translateTime: 'HH:MM:ss.l' }) };
  return pino(options, new LogOutput({ log: stdout, errors: stderr, ...(stdout.isTTY && forPeople) }));
}

/**
 * Makes terminals queue what they cannot take. Node has them block: where one is not read (Ctrl-S, a
 * stalled ssh session) the whole server would wait for it, and `LogOutput` could drop nothing.
 */
export function neverBlock({ stdout, stderr }: Standard): void {
  for (const stream of [stdout, stderr]) {
    // Node has no public way. The types lack the handle, which other streams and later versions may lack too.
    const { _handle: handle } = stream as { _handle?: { setBlocking?(blocking: boolean): void } };
    if (stream.isTTY) handle?.setBlocking?.(false);
  }
}
