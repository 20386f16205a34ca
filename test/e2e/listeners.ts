import { onTestFinished } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { Collected } from './collected.ts';

/** An object from the server, as far as tests look into it. */
export interface Received {
  readonly id?: string;
  readonly room?: string;
  readonly event?: string;
  readonly time?: string;
  readonly data?: unknown;
  readonly tick?: {
    schedule: string;
    due: string;
    previous: string | null;
    next: string | null;
    seq: number;
  };
  readonly key?: string;
  readonly until?: string;
  readonly replay?: true;
  readonly from?: { connection: string; device?: string };
  readonly reply?: string | null;
  readonly ref?: unknown;
  readonly error?: { status: number; title: string; detail: string };
}

/** What `closing` says. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
  readonly reconnect: boolean;
  readonly retryAfterMs?: number;
}

export interface Visitor {
  readonly received: Collected<Received>;
  /** Resolves when it is over: the close code, 0 for a stream. */
  readonly over: Promise<number>;
  leave(): void;
}

export interface SocketVisitor extends Visitor {
  readonly socket: WebSocket;
  send(line: object): void;
}

/** Opens a WebSocket; resolves when `hello` came, and it is a member. */
export async function visit(url: string, options: ClientOptions = {}): Promise<SocketVisitor> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), options);
  onTestFinished(() => socket.terminate());
  const received = new Collected<Received>();
  socket.on('message', (data) => received.push(JSON.parse(data.toString())));
  const over = new Promise<number>((resolve) => socket.on('close', (code) => resolve(code)));
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => resolve());
  });
  socket.on('error', () => {});
  await received.find(({ event }) => event === 'hello');
  return {
    socket,
    received,
    over,
    leave: () => socket.close(),
    send: (line) => socket.send(JSON.stringify(line)),
  };
}

export interface StreamVisitor extends Visitor {
  readonly status: number;
  /** What `retry:` said, in order. */
  readonly retries: number[];
}

/** Opens an SSE stream; resolves when the headers came. */
export async function stream(url: string): Promise<StreamVisitor> {
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const response = await fetch(url, {
    headers: { accept: 'text/event-stream' },
    signal: leaving.signal,
  });
  const received = new Collected<Received>();
  const retries: number[] = [];
  const read = async () => {
    let rest = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const line of blocks.flatMap((block) => block.split('\n'))) {
        if (line.startsWith('data: ')) received.push(JSON.parse(line.slice('data: '.length)));
        if (line.startsWith('retry: ')) retries.push(Number(line.slice('retry: '.length)));
      }
    }
    return 0;
  };
  // An aborted read is over as well.
  const over = read().catch(() => 0);
  return { status: response.status, received, retries, over, leave: () => leaving.abort() };
}

export function isTick({ tick, replay }: Received): boolean {
  return tick !== undefined && !replay;
}

/** What the room said before it closed. */
export async function closingOf({ received }: Visitor): Promise<Closing> {
  const { data } = await received.find(({ event }) => event === 'closing');
  // The contract's form of it; the tests look at each member.
  return data as Closing;
}
