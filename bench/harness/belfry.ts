import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Cost, type Server, type Ticks } from './server.ts';

export const TOKEN = 'bench';

/** npm runs its scripts in the folder of package.json. */
const PROGRAM = resolve('dist/main.js');

/** No heartbeats, and no subscriber has to answer pings: only what a scenario asks for is sent. */
const QUIET = { heartbeatSeconds: 3600, idleSeconds: 7200 };

interface ScheduleConfig {
  readonly name: string;
  readonly [key: string]: unknown;
}

export interface BelfryConfig {
  readonly server?: object;
  readonly rooms?: readonly object[];
  readonly schedules?: readonly ScheduleConfig[];
  readonly limits?: object;
}

export interface BelfryOptions {
  /** A line for bash that runs `"$@"`, for example with its log on a full disk. */
  readonly shell?: string;
  /** More variables of its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Schedules of the time that send nothing until they are resumed. */
export function pausedClocks(
  count: number,
  everyMs: number,
  name = 'clock',
  rooms = ['*'],
): ScheduleConfig[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `${name}-${index}`,
    every: `${everyMs}ms`,
    paused: true,
    feed: { type: 'time' },
    rooms,
  }));
}

/** What `belfry check` prints; rejects where the configuration has faults. */
export async function checkBelfry(config: BelfryConfig): Promise<string> {
  const { folder, file } = writeConfig(config);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, 'check', file]);
    return stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function writeConfig({ server, ...config }: BelfryConfig): { folder: string; file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-bench-'));
  const file = join(folder, 'belfry.json');
  writeFileSync(file, JSON.stringify({ server: { ...QUIET, ...server }, ...config }));
  return { folder, file };
}

/** `belfry serve` in a process of its own, driven by its admin API. */
export class Belfry implements Server {
  readonly child: ChildProcess;
  readonly cost: Cost;
  /** Known once `listening` has resolved. */
  port = 0;
  /** Rejects with what was written to standard error where the server ends before it listens. */
  readonly listening: Promise<void>;
  readonly #schedules: readonly string[];

  constructor(config: BelfryConfig, { shell, env }: BelfryOptions) {
    const { folder, file } = writeConfig(config);
    // For example `--cpu-prof`, to see where the time goes.
    const nodeArgs = process.env.BENCH_NODE_ARGS?.split(' ') ?? [];
    const command = [process.execPath, ...nodeArgs, PROGRAM, 'serve', '--port', '0', '--config', file];
    const [program = '', ...args] = shell === undefined ? command : ['bash', '-c', shell, 'bash', ...command];
    this.child = spawn(program, args, {
      env: { ...process.env, BELFRY_ADMIN_TOKEN: TOKEN, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.cost = new Cost(this.child.pid ?? 0);
    this.#schedules = (config.schedules ?? []).map(({ name }) => name);
    this.listening = this.#readPort().finally(() => rmSync(folder, { recursive: true }));
  }

  /** Reads standard error to its end, so that the server never blocks on it. */
  #readPort(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.child.stderr) throw new Error('spawned without a pipe for standard error');
      const lines: string[] = [];
      createInterface({ input: this.child.stderr }).on('line', (line) => {
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

  /** The ticks of its paused schedules whose names begin with the prefix. */
  ticks(prefix = ''): Ticks {
    const each = async (action: 'resume' | 'pause') => {
      for (const name of this.#schedules.filter((schedule) => schedule.startsWith(prefix))) {
        await this.admin('POST', `/schedules/${name}/${action}`);
      }
    };
    return { server: this, start: () => each('resume'), stop: () => each('pause') };
  }

  /** Rejects where the answer is no success. */
  async admin(method: string, path: string, body?: object): Promise<void> {
    await this.#request(method, `/admin${path}`, body);
  }

  broadcast(room: string, bytes: number): Promise<void> {
    return this.admin('POST', '/broadcast', { rooms: room, data: 'x'.repeat(bytes) });
  }

  /** A line of `/metrics`, by its name with its labels; 0 where nothing was counted yet. */
  async metric(name: string): Promise<number> {
    const lines = (await this.#request('GET', '/metrics')).split('\n');
    const line = lines.find((text) => text.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  }

  async #request(method: string, path: string, body?: object): Promise<string> {
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
