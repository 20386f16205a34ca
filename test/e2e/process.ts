import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { Collected } from './collected.ts';

/** The command line as it was built. */
export const BELFRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly stdout: Collected<string>;
  readonly stderr: Collected<string>;
  /** Its exit code, or the name of the signal that ended it; all it wrote has been read by then. */
  readonly ended: Promise<number | string>;
}

export interface Surroundings {
  /** In a process group of its own, as a shell would start it; the group's id is the program's. */
  readonly group?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts a program that is gone, at the latest, when the test is over. */
export function start(program: string, args: readonly string[], surroundings: Surroundings = {}): Running {
  const { env, cwd = emptyFolder(), group = false } = surroundings;
  const child = spawn(program, args, { cwd, env: { ...ownEnv(), ...env }, detached: group });
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${program}`);
  const ended = new Promise<number | string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'neither'));
  });
  onTestFinished(async () => {
    if (lives(group ? -pid : pid)) process.kill(group ? -pid : pid, 'SIGKILL');
    await ended;
  });
  return { child, pid, stdout: lines(child.stdout), stderr: lines(child.stderr), ended };
}

/** Starts `belfry` with arguments. */
export function belfry(args: readonly string[], surroundings?: Surroundings): Running {
  return start(process.execPath, [BELFRY, ...args], surroundings);
}

/** Runs `belfry` to its end. */
export async function outcome(args: readonly string[], surroundings?: Surroundings) {
  const running = belfry(args, surroundings);
  const code = await running.ended;
  return { code, stdout: running.stdout.all, stderr: running.stderr.all };
}

export interface Server extends Running {
  /** `http://127.0.0.1:…` */
  readonly url: string;
  /** What it said when it was ready. */
  readonly banner: readonly string[];
  readonly token: string;
}

/** Starts a server on a free port and waits until it has said where it is. */
export async function serve(
  options: Surroundings & { readonly config?: object; readonly args?: readonly string[] } = {},
): Promise<Server> {
  const { config, args = [], ...surroundings } = options;
  const from = config ? ['--config', fileWith(config)] : [];
  return ready(belfry(['serve', '--port', '0', ...from, ...args], surroundings), surroundings);
}

/** Waits until a server that was started has said where it is. */
export async function ready(running: Running, { env }: Surroundings = {}): Promise<Server> {
  const last = (line: string) => line.includes('/admin/broadcast');
  const came = running.stderr.find(last, 30_000);
  const died = running.ended.then((code) => {
    throw new Error(`the server ended with ${code}:\n${running.stderr.all.join('\n')}`);
  });
  died.catch(() => {});
  await Promise.race([came, died]);
  const banner = running.stderr.all.slice(0, running.stderr.all.findIndex(last) + 1);
  const text = banner.join('\n');
  const url = /curl .* (http:\/\/\S+)\/admin\/rooms/.exec(text)?.[1] ?? '';
  const token = /export BELFRY_ADMIN_TOKEN=(\S+)/.exec(text)?.[1] ?? env?.BELFRY_ADMIN_TOKEN ?? '';
  return { ...running, url, banner, token };
}

/** A JSON file with this in it, gone when the test is over. */
export function fileWith(content: object | string, name = 'belfry.json'): string {
  const path = join(emptyFolder(), name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

/** A folder that is gone when the test is over. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Whether a process is still there; with a minus, whether anything of a group is. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** What this process was started with, without what would be meant for another server. */
export function ownEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(BELFRY_|npm_|NODE_ENV|VITEST)/.test(name));
  return Object.fromEntries(kept);
}

function lines(stream: NodeJS.ReadableStream | null): Collected<string> {
  const collected = new Collected<string>();
  if (stream) createInterface({ input: stream }).on('line', (line) => collected.push(line));
  return collected;
}
