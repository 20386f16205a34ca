import type { Writable } from 'node:stream';

/** The most that may wait for a reader that does not read: some 5000 lines. */
const MAX_WAITING_BYTES = 1_048_576;

/** Where the log goes, and where it is told that it cannot. */
export interface LogStreams {
  readonly log: Writable;
  readonly errors: Writable;
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
  #dropped = 0;
  #outage: 'none' | 'unread' | 'broken' = 'none';

  constructor({ log, errors }: LogStreams) {
    this.#log = log;
    this.#errors = errors;
    // What failed is in the callback of each write. Without a listener an error would end the process.
    log.on('error', () => {});
    log.on('drain', () => this.#onDrain());
  }

  /** Writes a line, with its line break. Never throws, never blocks. */
  write(line: string): void {
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
    const before = told === 0 ? '' : gap(told, this.#outage === 'broken');
    this.#log.write(before + line, (error) => {
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

/**
 * An entry like those of the logger. After an outage it begins a line: the disk may have taken half of
 * the one before.
 */
function gap(lines: number, mayBeTorn: boolean): string {
  const entry = { level: 40, time: new Date().toISOString(), lines, msg: 'log lines were dropped' };
  return `${mayBeTorn ? '\n' : ''}${JSON.stringify(entry)}\n`;
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.message;
}
