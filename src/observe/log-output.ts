import type { Writable } from 'node:stream';

/** The most that may wait for a reader that does not read: some 5000 lines. */
const MAX_WAITING_BYTES = 1_048_576;

export interface LogOutputOptions {
  /** Where the log goes. */
  readonly log: Writable;
  /** Where it is told that it cannot. */
  readonly errors: Writable;
  /** Makes text for people of a line of JSON. Default: it stays as it is. */
  readonly format?: (line: string) => string;
}

/**
 * The log's end of a stream that may break: a pipe that is closed or not read, a full disk. Nothing of
 * that ends or delays the server. A line that cannot be written is dropped and counted; each outage is
 * told once on `errors`, and once lines can be written again, the log says how many are missing.
 *
 * The stream must write asynchronously or at once, and must take writes after an error, as
 * `process.stdout` does.
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
    // Until all that waits is read: at the bound it would be told anew with each line.
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
