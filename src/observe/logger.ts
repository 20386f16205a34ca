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
