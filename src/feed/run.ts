import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { Clock } from '../clock.ts';
import { readAtMost, tooLarge } from './content.ts';
import { FeedError, type Reason } from './reason.ts';

/** How long a command has between SIGTERM and SIGKILL to put things in order. */
const GRACE_MS = 1_000;
const MAX_COMPLAINT_CHARACTERS = 200;
/** What a command may write to standard error however small its `maxBytes` is: warnings are no fault. */
const LEAST_COMPLAINT_BYTES = 65_536;

export interface RunOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  /** All of its environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly maxBytes: number;
  readonly clock: Clock;
}

/**
 * Runs a command without a shell and resolves to what it printed. Rejects where it cannot be started,
 * fails, prints more than `maxBytes` (to standard error 64 KiB at least), or `signal` aborts. Settles when all of it is over:
 *
 *     running ── exit ──▶ SIGKILL to the children it left ─────────────────────┐
 *        │                                                                     ▼
 *        └── abort, too much ──▶ SIGTERM to all ── exit or a second later ──▶ SIGKILL to all
 *
 * A child that makes itself a session of its own gets away, as with any process group.
 */
export async function run(options: RunOptions, signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  const { argv, cwd, env, maxBytes, clock } = options;
  // Arguments may be secrets: errors name the command alone.
  const [command = '', ...rest] = argv;
  const name = JSON.stringify(command);
  // `detached` gives it a process group of its own, so that a signal reaches the children as well.
  const child = spawnSafely(name, () =>
    spawn(command, rest, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  const closed = once(child, 'close').catch((error) => {
    throw notStarted(name, error);
  });
  // Without a free file descriptor there are no streams, whatever the type says, and `error` follows.
  if (!child.stdout || !child.stderr) return closed.then(() => Buffer.alloc(0));
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
  const mostComplaint = Math.max(maxBytes, LEAST_COMPLAINT_BYTES);
  const complaint = firstLine(child.stderr, mostComplaint, () =>
    stop(tooLarge(mostComplaint, `the standard error of ${name}`)),
  );
  const stopAborted = () => stop(signal.reason);
  signal.addEventListener('abort', stopAborted);
  try {
    await closed;
  } finally {
    signal.removeEventListener('abort', stopAborted);
  }
  if (failure !== undefined) throw failure;
  if (child.exitCode === 0) return output;
  const how = child.signalCode
    ? `was ended by ${child.signalCode}`
    : `ended with exit code ${child.exitCode}`;
  throw new FeedError('failed', [`${name} ${how}`, complaint()].filter(Boolean).join(': '));
}

/** Some errors are thrown, such as that the arguments are too long for the system. */
function spawnSafely(name: string, start: () => ChildProcessByStdio<null, Readable, Readable>) {
  try {
    return start();
  } catch (error) {
    throw notStarted(name, error);
  }
}

const STARTING: ReadonlyMap<unknown, readonly [Reason, string]> = new Map([
  ['ENOENT', ['not-found', 'it was not found']],
  ['EACCES', ['refused', 'it is not a program that may be run']],
]);

function notStarted(name: string, cause: unknown): FeedError {
  const { code, message } = cause as NodeJS.ErrnoException; // `spawn` has no other errors
  const [reason, why] = STARTING.get(code) ?? ['failed', code ?? message];
  return new FeedError(reason, `${name} cannot be started: ${why}`, { cause });
}

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

/**
 * Reads to the end, so that nobody waits for us, and keeps the beginning. A stream of more than `maxBytes`
 * is destroyed, and `onTooLarge` called: reading a flood would take the time of everything else.
 */
function firstLine(stream: Readable, maxBytes: number, onTooLarge: () => void): () => string {
  const decoder = new StringDecoder('utf8');
  let text = '';
  let bytes = 0;
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    text = (text + decoder.write(chunk)).trimStart().slice(0, MAX_COMPLAINT_CHARACTERS);
    if (bytes <= maxBytes) return;
    stream.destroy();
    onTooLarge();
  });
  return () => text.split('\n', 1).join('').trimEnd();
}
