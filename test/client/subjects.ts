import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Browser, Page } from 'playwright-core';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, type ConnectOptions, connect } from '../../src/client/index.ts';
import { Collected } from '../e2e/collected.ts';

/** The events of the client that are looked at; those of a bare WebSocket or EventSource are `received` and `closed`. */
export const NAMES = ['message', 'tick', 'status', 'gap', 'retained', 'state', 'error', 'received'] as const;

type Name = (typeof NAMES)[number];

export interface Heard {
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
  readonly value: any;
}

/** What a client knows, as plain data. */
export interface View {
  readonly state: string;
  readonly transport: string;
  readonly rooms: readonly string[];
  readonly retained: readonly (readonly [string, unknown])[];
  readonly freshness: readonly (readonly [string, string])[];
  readonly nowMs: number;
  readonly errorMs: number;
}

export type Asked = 'publish' | 'subscribe' | 'unsubscribe' | 'close';

/** A client that runs somewhere. */
export interface Running {
  readonly heard: Collected<Heard>;
  /** Calls a method; rejects with an error that names the status. */
  ask(method: Asked, argument?: unknown): Promise<unknown>;
  view(): Promise<View>;
  /** What the program that it runs in keeps in memory, after a collection of garbage. */
  heapBytes(): Promise<number>;
}

/** Collects garbage at once. */
setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

export type StartOptions = Pick<ConnectOptions, 'rooms' | 'device' | 'since' | 'lookAgainMs'> & {
  readonly token?: string;
};

/** The library over one transport, in Node or in a browser. */
export interface Subject {
  readonly name: string;
  readonly transport: 'websocket' | 'sse';
  /** `names`: the events that it reports; default all. */
  start(url: string, options: StartOptions, names?: readonly Name[]): Promise<Running>;
}

/** The library in this process; `ws` is its WebSocket. */
export function inNode(transport: Subject['transport']): Subject {
  return {
    name: `in Node over ${transport}`,
    transport,
    async start(url, options, names = NAMES) {
      const client = connect(url, { ...options, transport, WebSocket });
      onTestFinished(() => client.close());
      const heard = new Collected<Heard>();
      for (const name of names) client.on(name, (value) => heard.push(plain(name, value)));
      return {
        heard,
        ask: (method, argument) => call(client, method, argument),
        view: async () => viewOf(client),
        async heapBytes() {
          collectGarbage();
          return process.memoryUsage().heapUsed;
        },
      };
    },
  };
}

/** The library in a page of the server, from `/client.js`. */
export function inBrowser(transport: Subject['transport'], browser: () => Browser): Subject {
  return {
    name: `in a browser over ${transport}`,
    transport,
    async start(url, options, names = NAMES) {
      const { page, heard } = await pageOf(browser(), url);
      // As text: a test runner would rewrite an import in a function.
      await page.addScriptTag({
        type: 'module',
        content: "import { connect } from '/client.js'; globalThis.connect = connect;",
      });
      await page.waitForFunction('globalThis.connect');
      await page.evaluate(
        ([listened, given]) => {
          const here = globalThis as unknown as {
            hear(name: string, text: string): void;
            connect: typeof connect;
          };
          const client = here.connect('/', given);
          Object.assign(globalThis, { client });
          for (const name of listened)
            client.on(name, (value: unknown) =>
              here.hear(name, JSON.stringify(value instanceof Map ? [...value] : value)),
            );
        },
        [names, { ...options, transport }] as const,
      );
      return {
        heard,
        ask: (method, argument) =>
          page.evaluate(
            async ([name, given]) => {
              const { client } = globalThis as unknown as {
                client: Record<string, (given: unknown) => unknown>;
              };
              try {
                return await client[name]?.(given);
              } catch (error) {
                const { status, message } = error as { status: number; message: string };
                throw new Error(`${status}: ${message}`);
              }
            },
            [method, argument] as const,
          ),
        view: () =>
          page.evaluate(() => {
            const { client } = globalThis as unknown as { client: Client };
            return {
              state: client.state.name,
              transport: client.transport,
              rooms: [...client.rooms],
              retained: [...client.retained].map(([name, { data }]) => [name, data] as const),
              freshness: [...client.schedules].map(([name, { freshness }]) => [name, freshness] as const),
              nowMs: client.now(),
              errorMs: client.errorMs,
            };
          }),
        async heapBytes() {
          const session = await page.context().newCDPSession(page);
          await session.send('HeapProfiler.collectGarbage');
          const { usedSize } = await session.send('Runtime.getHeapUsage');
          await session.detach();
          return usedSize;
        },
      };
    },
  };
}

/** A page of the server that loads nothing; what it hears comes to this process. */
export async function pageOf(
  browser: Browser,
  url: string,
): Promise<{ page: Page; heard: Collected<Heard> }> {
  // What the server answers at that address may load nothing.
  const page = await browser.newPage({ bypassCSP: true });
  onTestFinished(() => page.close());
  const heard = new Collected<Heard>();
  await page.exposeFunction('hear', (name: string, text: string) =>
    heard.push({ name, value: JSON.parse(text) }),
  );
  await page.goto(`${url}/livez`);
  return { page, heard };
}

function plain(name: string, value: unknown): Heard {
  return { name, value: value instanceof Map ? [...value] : value };
}

async function call(client: Client, method: Asked, argument: unknown): Promise<unknown> {
  try {
    if (method === 'publish') return await client.publish(argument as { data: unknown });
    if (method === 'close') return await client.close();
    return await client[method](String(argument));
  } catch (error) {
    const { status, message } = error as { status: number; message: string };
    throw new Error(`${status}: ${message}`);
  }
}

function viewOf(client: Client): View {
  return {
    state: client.state.name,
    transport: client.transport,
    rooms: [...client.rooms],
    retained: [...client.retained].map(([name, { data }]) => [name, data]),
    freshness: [...client.schedules].map(([name, { freshness }]) => [name, freshness]),
    nowMs: client.now(),
    errorMs: client.errorMs,
  };
}
