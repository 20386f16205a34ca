import { Writable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { LogOutput, written } from '../../src/observe/log.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';

/** A stream that goes on after errors, as standard output does. */
class Stream extends Writable {
  written = '';
  failsWith: string | undefined;
  #release: (() => void) | undefined;
  blocked = false;

  constructor() {
    super({ decodeStrings: false });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error);
    // As Node does it for standard output; its types leave it out.
    (this as unknown as { _undestroy(): void })._undestroy();
  }

  override _write(chunk: string, _encoding: string, done: (error?: Error) => void): void {
    const take = () => {
      if (this.failsWith !== undefined) return done(Object.assign(new Error(), { code: this.failsWith }));
      this.written += chunk;
      done();
    };
    if (this.blocked) this.#release = take;
    else take();
  }

  release(): void {
    this.blocked = false;
    this.#release?.();
  }
}

let log: Stream;
let errors: Stream;
let output: LogOutput;
beforeEach(() => {
  log = new Stream();
  errors = new Stream();
  output = new LogOutput({ log, errors });
});

const gap = (lines: number) => ({
  level: 40,
  time: expect.any(String),
  lines,
  msg: 'log lines were dropped',
});
const MIB = 1_048_576;

describe('LogOutput', () => {
  it.each(['ENOSPC', 'EPIPE'])(
    'goes on after %s, tells it once, and later how many are missing',
    async (code) => {
      output.write('one\n');
      log.failsWith = code;
      for (const line of ['two\n', 'three\n', 'four\n']) {
        output.write(line);
        await settled();
      }
      expect(errors.written).toBe(
        `the log cannot be written (${code}): its lines are dropped until that is over; the server goes on\n`,
      );
      log.failsWith = undefined;
      output.write('five\n');
      await settled();
      output.write('six\n');
      const [one, empty, dropped, ...rest] = log.written.split('\n');
      // The disk may have taken half a line.
      expect([one, empty]).toEqual(['one', '']);
      expect(JSON.parse(dropped ?? '')).toEqual(gap(3));
      expect(rest).toEqual(['five', 'six', '']);
    },
  );

  it('tells each outage', async () => {
    for (const failsWith of ['EPIPE', undefined, 'EPIPE']) {
      log.failsWith = failsWith;
      output.write('line\n');
      await settled();
    }
    expect(errors.written.split('\n')).toHaveLength(3);
  });

  it('counts what fails in one go as lines, not as writes', async () => {
    log.failsWith = 'EPIPE';
    for (let count = 0; count < 50; count++) output.write('line\n');
    await settled();
    log.failsWith = undefined;
    output.write('end\n');
    expect(JSON.parse(log.written.split('\n')[1] ?? '')).toEqual(gap(50));
  });

  it('drops lines above a bound while the stream is not read, and says how many once the queue is empty', async () => {
    const line = `${'x'.repeat(1023)}\n`;
    log.blocked = true;
    for (let count = 0; count < 5000; count++) output.write(line);
    expect(log.writableLength).toBeLessThanOrEqual(MIB);
    expect(errors.written).toBe(
      'the log is not read: its lines are dropped until that is over; the server goes on\n',
    );
    log.release();
    await settled();
    output.write('end\n');
    const lines = log.written.split('\n');
    expect(lines.slice(0, 1024).every((text) => text.length === 1023)).toBe(true);
    expect(JSON.parse(lines[1024] ?? '')).toEqual(gap(5000 - 1024));
    expect(lines.slice(1025)).toEqual(['end', '']);
  });

  it('takes a reader that goes away without having read for an outage of its own', async () => {
    log.blocked = true;
    for (let count = 0; count < 300; count++) output.write('x'.repeat(10_000));
    log.failsWith = 'EPIPE';
    log.release();
    await settled();
    log.failsWith = undefined;
    output.write('end\n');
    const [, dropped, end] = log.written.split('\n');
    expect(JSON.parse(dropped ?? '')).toEqual(gap(300));
    expect(end).toBe('end');
  });

  it('writes a single line, however long', () => {
    output.write('x'.repeat(2 * MIB));
    expect(log.written).toHaveLength(2 * MIB);
  });
});

describe('written', () => {
  const clock = new ManualClock();

  it('resolves when the last line has left the process', async () => {
    log.blocked = true;
    output.write('the last\n');
    let isWritten = false;
    const done = written({ stdout: log, stderr: errors }, clock).then(() => {
      isWritten = true;
    });
    await settled();
    expect(isWritten).toBe(false);
    log.release();
    await done;
    expect(log.written).toBe('the last\n');
  });

  it('resolves where a stream cannot be written', async () => {
    log.failsWith = 'EPIPE';
    output.write('the last\n');
    await written({ stdout: log, stderr: errors }, clock);
  });

  it('does not wait longer than half a second for a reader that takes nothing', async () => {
    log.blocked = true;
    output.write('the last\n');
    const done = written({ stdout: log, stderr: errors }, clock);
    clock.advance(500);
    await done;
    expect(log.written).toBe('');
  });
});
