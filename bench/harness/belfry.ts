import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Inside } from './inside.ts';
import { Cost, type Server, TICKED } from './server.ts';

export const TOKEN = 'bench';

/** What the lines begin with that `inside.ts` writes. */
const INSIDE = 'inside: ';

/** npm runs its scripts in the folder of package.json. */
const PROGRAM = resolve('dist/main.js');

/** No heartbeats, and no subscriber has to answer pings: only what a scenario asks for is sent. */
const QUIET = { heartbeatSeconds: 3600, idleSeconds: 7200 };

interface ScheduleConfig {
  readonly name: string;
  readonly paused?: boolean;
  readonly [key: string]: unknown;
}

export interface BelfryConfig {
  readonly server?: object;
  readonly rooms?: readonly object[];
  readonly schedules?: readonly ScheduleConfig[];
  readonly store?: object;
  readonly access?: object;
  readonly limits?: object;
}

export interface BelfryOptions {
  /** A line for bash that runs `"$@"`, for example with its log on a full disk. */
  readonly shell?: string;
  /** Whether `inside` will be asked for. */
  readonly looksInside?: boolean;
}

/** Schedules of the time that send nothing until `startTicks`. */
export function clocks(count: number, everyMs: number) {
  return Array.from({ length: count }, (_, index) => ({
    name: `clock-${index}`,
    every: `${everyMs}ms`,
    paused: true,
    feed: { type: 'time' },
    rooms: [`${TICKED}-*`],
  }));
}

/** What `belfry check` prints; rejects where the configuration has faults. */
export async function checkBelfry(config: BelfryConfig): Promise<string> {
  const { file, remove } = writeConfig(config);
  const checked = promisify(execFile)(process.execPath, [PROGRAM, 'check', file]);
  return (await checked.finally(remove)).stdout;
}

/** Connecting is measured as well, and thousands of subscribers are wanted at once. */
const UNLIMITED = { connectsPerSecond: 0 };

function writeConfig(config: BelfryConfig): { file: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-bench-'));
  const file = join(folder, 'belfry.json');
  writeFileSync(file, textOf(config));
  return { file, remove: () => rmSync(folder, { recursive: true }) };
}

function textOf({ server, limits, ...config }: BelfryConfig): string {
  return JSON.stringify({
    server: { ...QUIET, ...server },
    limits: { ...UNLIMITED, ...limits },
    ...config,
  });
}

/** `belfry serve` in a process of its own, driven by its admin API. */
export class Belfry implements Server {
  readonly child: ChildProcess;
  readonly cost: Cost;
  /** Known once `listening` has resolved. */
  port = 0;
  /** Rejects with what was written to standard error where the server ends before it listens. */
  readonly listening: Promise<void>;
  readonly #paused: readonly string[];
  readonly #file: string;
  #onInside: (inside: Inside) => void = () => {};

  constructor(config: BelfryConfig, { shell, looksInside = false }: BelfryOptions) {
    const { file, remove } = writeConfig(config);
    this.#file = file;
    // For example `--cpu-prof`, to see where the time goes.
    const nodeArgs = process.env.BENCH_NODE_ARGS?.split(' ') ?? [];
    if (looksInside) nodeArgs.push('--expose-gc', '--import', new URL('./inside.js', import.meta.url).href);
    const command = [process.execPath, ...nodeArgs, PROGRAM, 'serve', '--port', '0', '--config', file];
    const [program = '', ...args] = shell === undefined ? command : ['bash', '-c', shell, 'bash', ...command];
    this.child = spawn(program, args, {
      env: { ...process.env, BELFRY_ADMIN_TOKEN: TOKEN },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.cost = new Cost(this.child.pid ?? 0);
    this.#paused = (config.schedules ?? []).filter(({ paused }) => paused).map(({ name }) => name);
    this.child.once('exit', remove);
    this.listening = this.#readPort();
  }

  /** Reads standard error to its end, so that the server never blocks on it. */
  #readPort(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.child.stderr) throw new Error('spawned without a pipe for standard error');
      const lines: string[] = [];
      createInterface({ input: this.child.stderr }).on('line', (line) => {
        if (line.startsWith(INSIDE)) this.#onInside(JSON.parse(line.slice(INSIDE.length)));
        lines.push(line);
        const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port === undefined || this.port > 0) return;
        this.port = Number(port);
        resolve();
      });
      this.child.once('exit', () => reject(new Error(`Belfry ended:\n${lines.join('\n')}`)));
    });
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  startTicks(): Promise<void> {
    return this.#eachPaused('resume');
  }

  stopTicks(): Promise<void> {
    return this.#eachPaused('pause');
  }

  async #eachPaused(action: 'resume' | 'pause'): Promise<void> {
    for (const name of this.#paused) await this.request('POST', `/admin/schedules/${name}/${action}`);
  }

  /** Replaces the configuration file and has it read. */
  async reload(config: BelfryConfig): Promise<void> {
    writeFileSync(this.#file, textOf(config));
    await this.request('POST', '/admin/reload');
  }

  /** What is open in the process and on its heap; only with `looksInside`. */
  inside(): Promise<Inside> {
    return new Promise((resolve) => {
      this.#onInside = resolve;
      this.child.kill('SIGUSR2');
    });
  }

  async broadcast(room: string, bytes: number): Promise<void> {
    await this.request('POST', '/admin/broadcast', { rooms: room, data: 'x'.repeat(bytes) });
  }

  /** A line of `/metrics`, by its name with its labels; 0 where nothing was counted yet. */
  async metric(name: string): Promise<number> {
    const lines = (await this.request('GET', '/metrics')).split('\n');
    const line = lines.find((text) => text.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  }

  /** Resolves to the body; rejects where the answer is no success. */
  async request(method: string, path: string, body?: object): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}` },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    return text;
  }
}
