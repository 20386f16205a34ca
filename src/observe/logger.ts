import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type { Logger };

/** The log of a server: lines for people in a terminal, JSON elsewhere; to standard output. */
export function createLogger(stream: NodeJS.WriteStream): Logger {
  const options = { base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  if (!stream.isTTY) return pino(options, stream);
  return pino(options, pretty({ destination: stream, translateTime: 'HH:MM:ss.l', sync: true }));
}
