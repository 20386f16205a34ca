import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { Cost } from './cost.ts';

export const TOKEN = 'bench';

/** npm runs its scripts in the folder of package.json. */
const PROGRAM = resolve('dist/main.js');

const run = promisify(execFile);

/** Nothing but what a bench asks for is sent, and nobody has to answer pings. */
const QUIET = { heartbeatSeconds: 3600, idleSeconds: 7200 };

export interface BelfryConfig {
  readonly server?: object;
  readonly rooms?: readonly object[];
  readonly schedules?: readonly object[];
  readonly limits?: object;
}

/** What a server is started with besides its configuration. */
export interface BelfryProcess {
  /** How many descriptors it may have; by default as many as the bench. */
  readonly descriptors?: number;
  /** Where its log goes: nowhere, to a pipe whose reader ends at the first line, or to a full disk. */
  readonly log?: 'nowhere' | 'cut-pipe' | 'full-disk';
  /** More variables of its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Belfry as anybody would run it, with a config of the bench's. */
export class BelfryServer {
  readonly cost: Cost;
  readonly port: number;
  readonly child: ChildProcess;
  readonly #schedules: readonly string[];
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(child: ChildProcess, port: number, schedules: readonly string[]) {
    this.cost = new Cost(child.pid ?? 0);
    this.child = child;
    this.port = port;
    this.#schedules = schedules;
  }

  /** `onChild` gets the process at once, so that it is ended whatever happens. */
  static async start(
    config: BelfryConfig,
    onChild: (child: ChildProcess) => void,
    { descriptors, log = 'nowhere', env = {} }: BelfryProcess = {},
  ): Promise<BelfryServer> {
    const { schedules = [] } = config;
    const file = configFile(config);
    // Such as `--cpu-prof`, to see where the time goes.
    const nodeArgs = process.env.BENCH_NODE_ARGS?.split(' ') ?? [];
    const args = [...nodeArgs, PROGRAM, 'serve', '--port', '0', '--config', file.path];
    const command: [string, readonly string[]] =
      descriptors === undefined
        ? [process.execPath, args]
        : ['sh', ['-c', `ulimit -n ${descriptors}; exec "$0" "$@"`, process.execPath, ...args]];
    const output = log === 'full-disk' ? openSync('/dev/full', 'w') : undefined;
    const child = spawn(...command, {
      env: { ...process.env, BELFRY_ADMIN_TOKEN: TOKEN, ...env },
      stdio: ['ignore', output ?? (log === 'cut-pipe' ? 'pipe' : 'ignore'), 'pipe'],
    });
    if (output !== undefined) closeSync(output);
    child.stdout?.once('data', () => child.stdout?.destroy());
    onChild(child);
    const port = await portOf(child);
    file.remove();
    return new BelfryServer(
      child,
      port,
      schedules.flatMap((schedule) => ('name' in schedule ? [String(schedule.name)] : [])),
    );
  }

  /** What `belfry check` prints of a configuration. Rejects where it has faults, with its standard error. */
  static async check(config: BelfryConfig): Promise<string> {
    const file = configFile(config);
    try {
      const { stdout } = await run(process.execPath, [PROGRAM, 'check', file.path]);
      return stdout;
    } finally {
      file.remove();
    }
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Resolves when it was answered, whatever the answer holds; rejects where it is no success. */
  async admin(method: string, path: string, body?: object): Promise<void> {
    await this.#ask(method, `/admin${path}`, body);
  }

  /** A line of `/metrics` by its name with its labels; 0 where nothing was counted yet. */
  async metric(name: string): Promise<number> {
    const lines = (await this.#ask('GET', '/metrics')).split('\n');
    const line = lines.find((text) => text.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  }

  async #ask(method: string, path: string, body?: object): Promise<string> {
    const asked = request({
      port: this.port,
      host: '127.0.0.1',
      agent: this.#agent,
      method,
      path,
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    asked.end(body && JSON.stringify(body));
    // Node's documentation says what comes with `response`; the types of `once` do not.
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    const answer = await text(response);
    if ((response.statusCode ?? 0) >= 300) throw new Error(`${method} ${path}: ${answer}`);
    return answer;
  }

  /** `named`: those whose names begin like this. */
  async resume(named = ''): Promise<void> {
    await this.#eachSchedule(named, 'resume');
  }

  async pause(named = ''): Promise<void> {
    await this.#eachSchedule(named, 'pause');
  }

  async #eachSchedule(named: string, what: 'resume' | 'pause'): Promise<void> {
    for (const name of this.#schedules.filter((schedule) => schedule.startsWith(named))) {
      await this.admin('POST', `/schedules/${name}/${what}`);
    }
  }
}

function configFile({ server, ...config }: BelfryConfig): { path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-bench-'));
  const path = join(folder, 'belfry.json');
  writeFileSync(path, JSON.stringify({ server: { ...QUIET, ...server }, ...config }));
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

/** The port that it says it listens on. */
function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    if (!child.stderr) throw new Error('started without stderr');
    const said: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      const port = /http:\/\/127\.0\.0\.1:(\d+)\/admin\/broadcast/.exec(line)?.[1];
      if (port) resolve(Number(port));
    });
    child.on('exit', () => reject(new Error(`Belfry ended:\n${said.join('\n')}`)));
  });
}
