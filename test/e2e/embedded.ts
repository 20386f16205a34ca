import { onTestFinished } from 'vitest';
import { type Belfry, type BelfryOptions, createBelfry } from '../../src/belfry.ts';

/** The operator's. */
export const TOKEN = 'test';

export interface Embedded {
  readonly belfry: Belfry;
  readonly url: string;
  /** Calls the admin API and reads the answer. */
  admin(method: string, path: string, body?: object): Promise<{ status: number; answer: Answer }>;
}

/** What tests look at of the admin API's answers. */
export interface Answer {
  readonly items?: readonly Answer[];
  readonly connections?: number | { websocket: number; sse: number };
  readonly unreached?: readonly string[];
  readonly device?: string | null;
  readonly data?: unknown;
  readonly key?: string;
  readonly id?: string;
}

/** A server in this process on a free port; stopped when the test is over. */
export async function embedded(document: object, options: BelfryOptions = {}): Promise<Embedded> {
  const { server, ...rest } = { server: {}, ...document };
  const belfry = createBelfry(
    { ...rest, server: { port: 0, drainSeconds: 0, ...server } },
    { env: { BELFRY_ADMIN_TOKEN: TOKEN }, ...options },
  );
  const { host, port } = await belfry.start();
  onTestFinished(() => belfry.stop(AbortSignal.abort()));
  const url = `http://${host}:${port}`;
  return {
    belfry,
    url,
    async admin(method, path, body) {
      const response = await fetch(`${url}/admin${path}`, {
        method,
        headers: { authorization: `Bearer ${TOKEN}` },
        ...(body && { body: JSON.stringify(body) }),
      });
      const answer: Answer = JSON.parse(await response.text());
      return { status: response.status, answer };
    },
  };
}
