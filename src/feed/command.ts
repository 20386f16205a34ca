import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { contentOptions, jsonText, namedStrings, readAtMost, tooLarge } from './content.ts';
import { FeedError, feedKind, type Reason } from './feed.ts';

/**
 * The server's variables that a command gets too: where programs, home and temporary files are, the user,
 * and the language. A list of allowed names, because the server's environment also holds its tokens and
 * the secrets that the config file takes from there.
 */
const PASSED_VARIABLES: ReadonlySet<string> = new Set(
  (
    'PATH HOME USER LOGNAME SHELL TMPDIR TZ LANG LANGUAGE LC_ALL LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION ' +
    'LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME'
  ).split(' '),
);

/** The same in a sentence. */
const PASSED_VARIABLES_TEXT = 'PATH, HOME, USER, LOGNAME, SHELL, TMPDIR, TZ, LANG, LANGUAGE and LC_*';

/**
 * What a command prints: JSON if it parses, otherwise text. It is started in the folder of the config
 * file, with a small environment and nothing on standard input, and one at a time.
 */
export const commandFeed = feedKind({
  type: 'command',
  description: 'What a command prints on standard output.',
  options: z.object({
    argv: z
      .array(z.string().refine((word) => !word.includes('\0'), { error: 'holds a NUL character' }))
      .refine(([command]) => command !== undefined && command !== '', {
        error: 'names no command: write a list such as ["df", "--output=pcent", "/"]',
      })
      .describe('The command and its arguments. No shell reads them: no quotes, no pipes, no *.'),
    env: namedStrings(variableFault)
      .optional()
      .describe(
        `Environment variables for the command; a secret is written as a dollar sign and {NAME}. Of the server's own it has ${PASSED_VARIABLES_TEXT} only.`,
      ),
    ...contentOptions,
  }),
  secrets: { argv: 'arguments', env: 'values' },
  create({ argv, env: configured, maxBytes, pick }, { baseDirectory, clock, env: own }) {
    const name = JSON.stringify(argv[0]);
    const passed = Object.entries(own).filter(([variable]) => PASSED_VARIABLES.has(variable));
    const env = { ...Object.fromEntries(passed), ...configured };
    let isRunning = false;
    return {
      async read(_tick, signal) {
        if (isRunning) throw new FeedError('timeout', `${name} is still running`);
        isRunning = true;
        try {
          const output = await run({ argv, cwd: baseDirectory, env, maxBytes, clock }, signal);
          return jsonText(output, 'either', pick, `the output of ${name}`);
        } finally {
          isRunning = false;
        }
      },
    };
  },
});

function variableFault(name: string, value: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    return `${JSON.stringify(name)} is not the name of an environment variable: write letters, digits and _, not starting with a digit`;
  if (value.includes('\0')) return 'holds a NUL character, which no environment variable can have';
  return undefined;
}

/** The time that a command has between SIGTERM and SIGKILL to clean up. */
const GRACE_MS = 1_000;
const MAX_STDERR_CHARACTERS = 200;
/** A command may write this much to standard error even if its `maxBytes` is less: warnings are no fault. */
const MIN_STDERR_BYTES = 65_536;

interface RunOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  /** All of its environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly maxBytes: number;
  readonly clock: Clock;
}

/**
 * Runs a command without a shell and resolves to what it printed. Rejects where it cannot be started,
 * fails, prints more than `maxBytes` (to standard error at least 64 KiB), or `signal` aborts. Settles
 * when all of it is over:
 *
 *     running ── exit ──▶ SIGKILL to the children it left ─────────────────────┐
 *        │                                                                     ▼
 *        └── abort, too much ──▶ SIGTERM to all ── exit or a second later ──▶ SIGKILL to all
 *
 * A child that starts a session of its own is not reached, as with any process group.
 */
async function run(options: RunOptions, signal: AbortSignal): Promise<Buffer> {
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
  // Children with a session of their own may hold the other ends, and then these never close by themselves.
  const closeStreams = () => {
    child.stdout.destroy();
    child.stderr.destroy();
  };
  let cancelKill = () => {};
  let failure: unknown;
  const stop = (reason: unknown) => {
    if (failure !== undefined) return;
    failure = reason;
    if (child.exitCode !== null || child.signalCode !== null) return closeStreams();
    signalGroup(child, 'SIGTERM');
    cancelKill = clock.after(GRACE_MS, () => signalGroup(child, 'SIGKILL'));
  };
  child.once('exit', () => {
    cancelKill();
    signalGroup(child, 'SIGKILL');
    if (failure !== undefined) closeStreams();
  });
  const output = readAtMost(child.stdout, maxBytes, `the output of ${name}`);
  output.catch(stop);
  const maxStderrBytes = Math.max(maxBytes, MIN_STDERR_BYTES);
  const stderrLine = firstLine(child.stderr, maxStderrBytes, () =>
    stop(tooLarge(maxStderrBytes, `the standard error of ${name}`)),
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
  throw new FeedError('failed', [`${name} ${how}`, stderrLine()].filter(Boolean).join(': '));
}

/** Some errors are thrown, such as that the arguments are too long for the system. */
function spawnSafely(name: string, start: () => ChildProcessByStdio<null, Readable, Readable>) {
  try {
    return start();
  } catch (error) {
    throw notStarted(name, error);
  }
}

const START_FAULTS: ReadonlyMap<unknown, readonly [Reason, string]> = new Map([
  ['ENOENT', ['not-found', 'it was not found']],
  ['EACCES', ['refused', 'it is not a program that may be run']],
]);

function notStarted(name: string, cause: unknown): FeedError {
  const { code, message } = cause as NodeJS.ErrnoException; // `spawn` has no other errors
  const [reason, why] = START_FAULTS.get(code) ?? ['failed', code ?? message];
  return new FeedError(reason, `${name} cannot be started: ${why}`, { cause });
}

function signalGroup({ pid }: ChildProcess, name: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch {
    // The group has no process left.
  }
}

/**
 * Reads to the end, so that the command never waits for the server, and keeps the beginning. A stream of
 * more than `maxBytes` is destroyed, and `onTooLarge` called: reading a flood would block everything else.
 */
function firstLine(stream: Readable, maxBytes: number, onTooLarge: () => void): () => string {
  const decoder = new StringDecoder('utf8');
  let text = '';
  let bytes = 0;
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    text = (text + decoder.write(chunk)).trimStart().slice(0, MAX_STDERR_CHARACTERS);
    if (bytes <= maxBytes) return;
    stream.destroy();
    onTooLarge();
  });
  return () => text.split('\n', 1).join('').trimEnd();
}
