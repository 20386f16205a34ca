import { Writable } from 'node:stream';
import { run } from '../../src/cli/program.ts';
import { emptyFolder } from '../e2e/process.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

/**
 * Runs a command to its end in this process, which takes milliseconds instead of half a second. Not for
 * `watch`, and not for a `serve` that starts: they handle the signals of their process and end it.
 */
export async function outcomeOf(
  args: readonly string[],
  { env = {}, cwd = emptyFolder() }: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Outcome> {
  const [stdout, stderr] = [new Written(), new Written()];
  const code = await run(args, { env, stdout, stderr, cwd: () => cwd });
  return { code, stdout: stdout.lines, stderr: stderr.lines };
}

/** Keeps what is written to it. */
class Written extends Writable {
  #text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#text += chunk;
    done();
  }

  get lines(): string[] {
    return this.#text === '' ? [] : this.#text.replace(/\n$/, '').split('\n');
  }
}
