import type { Writable } from 'node:stream';
import { type Logger, pino } from 'pino';
import type { Clock } from '../clock.ts';

export type { Logger };

/** The streams of a server's log: `stdout`, and `stderr` for faults of the log itself. */
export interface Standard {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/**
 * The log of a server on standard output: readable lines in a terminal, JSON elsewhere. Faults of that
 * stream do not stop it: see `LogOutput`.
 */
export async function createLogger({ stdout, stderr }: Standard): Promise<Logger> {
  const options = { base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  const format = stdout.isTTY && { format: await readableLines() };
  return pino(options, new LogOutput({ log: stdout, errors: stderr, ...format }));
}

/** Imported only where it is needed, since it takes 30 ms of the start. */
async function readableLines(): Promise<(line: string) => string> {
  const { default: pretty } = await import('pino-pretty');
  return pretty.prettyFactory({ translateTime: 'HH:MM:ss.l' });
}

/**
 * Makes terminals queue what they cannot take. By default Node blocks: where a terminal is not read
 * (Ctrl-S, a stalled ssh session) the whole server would wait for it, and `LogOutput` could drop nothing.
 */
export function neverBlock({ stdout, stderr }: Standard): void {
  for (const stream of [stdout, stderr]) {
    // Node has no public way. The types lack the handle, which other streams and later versions may lack too.
    const { _handle: handle } = stream as { _handle?: { setBlocking?(blocking: boolean): void } };
    if (stream.isTTY) handle?.setBlocking?.(false);
  }
}

/** How long the reader of a log may take for its last lines. */
const LAST_LINES_MS = 500;

/** Resolves when all that was written has left the process, or cannot: to be awaited before it ends. */
export async function written(
  { stdout, stderr }: Record<'stdout' | 'stderr', Writable>,
  clock: Pick<Clock, 'after'>,
): Promise<void> {
  const tooLate = new Promise<void>((resolve) => clock.after(LAST_LINES_MS, resolve));
  // The callback of a write comes in the order of the writes, also with an error.
  const all = [stdout, stderr].map((stream) => new Promise((resolve) => stream.write('', resolve)));
  await Promise.race([Promise.all(all), tooLate]);
}

/** Queue for a slow reader: about 5000 lines. */
const MAX_QUEUED_BYTES = 1_048_576;

export interface LogOutputOptions {
  readonly log: Writable;
  /** Where outages of the log are reported. */
  readonly errors: Writable;
  /** Turns a line of JSON into a readable one. Default: the line as it is. */
  readonly format?: (line: string) => string;
}

/**
 * Log output that survives its stream: a closed pipe, a pipe that is not read and a full disk neither end
 * nor delay the server. Lines that cannot be written are dropped and counted. Each outage is reported
 * once on `errors`, and when the log works again, an entry says how many lines are missing.
 *
 * The stream has to accept writes after an error, as `process.stdout` does.
 */
export class LogOutput {
  readonly #log: Writable;
  readonly #errors: Writable;
  readonly #format: (line: string) => string;
  #dropped = 0;
  #outage: 'none' | 'unread' | 'broken' = 'none';

  constructor({ log, errors, format = (line) => line }: LogOutputOptions) {
    this.#log = log;
    this.#errors = errors;
    this.#format = format;
    // The callback of each write gets its error. Without a listener an error would end the process.
    log.on('error', () => {});
    log.on('drain', () => this.#onDrain());
  }

  /** Writes an entry, a line of JSON with its line break. Never throws, never blocks. */
  write(entry: string): void {
    const line = this.#format(entry);
    const queued = this.#log.writableLength;
    if (queued > 0 && queued + Buffer.byteLength(line) > MAX_QUEUED_BYTES) {
      this.#outageIs('unread', 'is not read');
    }
    // Until the queue is empty: at the bound every line would be an outage of its own.
    if (this.#outage === 'unread') this.#dropped++;
    else this.#writeWithGap(line, 1);
  }

  #onDrain(): void {
    if (this.#outage !== 'unread') return;
    this.#outage = 'none';
    this.#writeWithGap('', 0);
  }

  /** Each write is an attempt, and carries the number of lines that were dropped before it. */
  #writeWithGap(line: string, lines: number): void {
    const dropped = this.#dropped;
    this.#dropped = 0;
    // After an outage on a line of its own: the disk may have taken half of the one before.
    const before = this.#outage === 'broken' ? '\n' : '';
    const gap = dropped === 0 ? '' : before + this.#format(gapEntry(dropped));
    this.#log.write(gap + line, (error) => {
      if (error) {
        this.#dropped += dropped + lines;
        this.#outageIs('broken', `cannot be written (${codeOf(error)})`);
      } else if (this.#outage === 'broken') {
        this.#outage = 'none';
      }
    });
  }

  #outageIs(outage: 'unread' | 'broken', words: string): void {
    if (this.#outage === outage) return;
    this.#outage = outage;
    this.#errors.write(`the log ${words}: its lines are dropped until that is over; the server goes on\n`);
  }
}

/** An entry like those of the logger. */
function gapEntry(lines: number): string {
  const entry = { level: 40, time: new Date().toISOString(), lines, msg: 'log lines were dropped' };
  return `${JSON.stringify(entry)}\n`;
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.message;
}
