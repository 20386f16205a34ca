import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import { readAtMost } from './content.ts';

/** How long a command has between SIGTERM and SIGKILL to put things in order. */
const GRACE_MS = 1_000;
const MAX_COMPLAINT_CHARACTERS = 200;

export interface RunOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly maxBytes: number;
  readonly clock: Clock;
}

/**
 * Runs a command without a shell and resolves to what it printed. Rejects where it cannot be started,
 * fails, prints more than `maxBytes`, or `signal` aborts. Settles when all of it is over:
 *
 *     running ── exit ──▶ SIGKILL to the children it left ─────────────────────┐
 *        │                                                                     ▼
 *        └── abort, too much ──▶ SIGTERM to all ── exit or a second later ──▶ SIGKILL to all
 *
 * A child that makes itself a session of its own gets away, as with any process group.
 */
export async function run({ argv, cwd, maxBytes, clock }: RunOptions, signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  // Arguments may be secrets: errors name the command alone.
  const [command = '', ...rest] = argv;
  const name = JSON.stringify(command);
  // `detached` gives it a process group of its own, so that a signal reaches the children as well.
  const child = spawn(command, rest, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  const complaint = firstLine(child.stderr);

  // Children out of reach may hold the other ends, and then they never close by themselves.
  const letGo = () => {
    child.stdout.destroy();
    child.stderr.destroy();
  };
  let cancelKill = () => {};
  let failure: unknown;
  const stop = (reason: unknown) => {
    if (failure !== undefined) return;
    failure = reason;
    if (!running(child)) return letGo();
    signalGroup(child, 'SIGTERM');
    cancelKill = clock.after(GRACE_MS, () => signalGroup(child, 'SIGKILL'));
  };
  child.once('exit', () => {
    cancelKill();
    signalGroup(child, 'SIGKILL');
    if (failure !== undefined) letGo();
  });
  const output = readAtMost(child.stdout, maxBytes, `the output of ${name}`);
  output.catch(stop);
  const stopAborted = () => stop(signal.reason);
  signal.addEventListener('abort', stopAborted);
  try {
    await closed;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // `spawn` emits no other
    throw new Error(`${name} cannot be started: ${STARTING[code ?? ''] ?? code}`, { cause: error });
  } finally {
    signal.removeEventListener('abort', stopAborted);
  }
  if (failure !== undefined) throw failure;
  if (child.exitCode === 0) return output;
  const how = child.signalCode
    ? `was ended by ${child.signalCode}`
    : `ended with exit code ${child.exitCode}`;
  throw new Error([`${name} ${how}`, complaint()].filter(Boolean).join(': '));
}

const STARTING: Readonly<Record<string, string>> = {
  ENOENT: 'it was not found',
  EACCES: 'it is not a program that may be run',
};

function running(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function signalGroup({ pid }: ChildProcess, name: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch {
    // Nobody is left in it.
  }
}

/** Reads to the end, so that nobody waits for us, and keeps the beginning. */
function firstLine(stream: Readable): () => string {
  let text = '';
  stream.on('error', () => {});
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).trimStart().slice(0, MAX_COMPLAINT_CHARACTERS);
  });
  return () => text.split('\n', 1).join('').trimEnd();
}
