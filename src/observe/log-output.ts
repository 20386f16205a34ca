import type { Writable } from 'node:stream';

/** The most that is queued for a slow reader: some 5000 lines. */
const MAX_WAITING_BYTES = 1_048_576;

export interface LogOutputOptions {
  readonly log: Writable;
  /** Where outages of the log are reported. */
  readonly errors: Writable;
  /** Turns a line of JSON into one for people. Default: the line as it is. */
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
    // What failed is in the callback of each write. Without a listener an error would end the process.
    log.on('error', () => {});
    log.on('drain', () => this.#onDrain());
  }

  /** Writes an entry, a line of JSON with its line break. Never throws, never blocks. */
  write(entry: string): void {
    const line = this.#format(entry);
    const waiting = this.#log.writableLength;
    if (waiting > 0 && waiting + Buffer.byteLength(line) > MAX_WAITING_BYTES) {
      this.#outageIs('unread', 'is not read');
    }
    // Until the queue is empty: at the bound every line would be an outage of its own.
    if (this.#outage === 'unread') this.#dropped++;
    else this.#put(line, 1);
  }

  #onDrain(): void {
    if (this.#outage !== 'unread') return;
    this.#outage = 'none';
    this.#put('', 0);
  }

  /** Each write is an attempt, and brings the number of those before it that failed. */
  #put(line: string, lines: number): void {
    const told = this.#dropped;
    this.#dropped = 0;
    // After an outage on a line of its own: the disk may have taken half of the one before.
    const before = this.#outage === 'broken' ? '\n' : '';
    const gap = told === 0 ? '' : before + this.#format(gapEntry(told));
    this.#log.write(gap + line, (error) => {
      if (error) {
        this.#dropped += told + lines;
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
