import { pino } from 'pino';
import { type Belfry, type BelfryOptions, createBelfry } from '../../src/belfry.ts';

export interface TestServer {
  readonly belfry: Belfry;
  readonly port: number;
  /** `http://127.0.0.1:…`, without a slash at the end. */
  readonly url: string;
  /** Warnings and errors that were logged. */
  readonly logged: { readonly msg: string }[];
  /** What `GET /admin/…` answers. */
  admin(path: string, init?: { method?: string; body?: string }): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

export interface ConfigOf {
  server?: object;
  [section: string]: unknown;
}

/** A server in this process, on a free port of the loopback; without schedules unless given some. */
export async function startServer(config: ConfigOf = {}, options: BelfryOptions = {}): Promise<TestServer> {
  const logged: TestServer['logged'] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void logged.push(JSON.parse(line)) });
  const server = { port: 0, drainSeconds: 0, ...config.server };
  const belfry = createBelfry({ schedules: [], ...config, server }, { env: {}, logger, ...options });
  const { port } = await belfry.start();
  const url = `http://127.0.0.1:${port}`;
  return {
    belfry,
    port,
    url,
    logged,
    async admin(path, init) {
      const headers = { authorization: `Bearer ${belfry.madeToken}` };
      const response = await fetch(`${url}/admin${path}`, { ...init, headers });
      return { status: response.status, ...((await response.json()) as object) };
    },
    stop: () => belfry.stop(),
  };
}
