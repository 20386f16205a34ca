import type { WebSocket } from 'ws';
import { Chain } from '../client/protocol/chain.ts';
import { backOffMs, comeBackAfterMs } from '../client/protocol/comeback.ts';
import { type CloseReason, members, parse, type Received } from '../client/protocol/received.ts';
import { type Cancel, type Clock, systemClock } from '../clock.ts';
import { attend, type Ending } from './attend.ts';
import { closingWords, escapeControls, eventLine, jsonLine } from './event-line.ts';
import { onLines } from './lines.ts';
import { roomAddress } from './room-address.ts';

export interface WatchOptions {
  /** A URL, a path or a room's name. */
  readonly url: string;
  /** Each line is published: JSON as it stands, anything else as `{"text": line}`. Its end ends nothing. */
  readonly input: NodeJS.ReadableStream;
  /** What the room sends, a line for each event. */
  readonly output: NodeJS.WritableStream;
  /** What is not from the room: refusals, closings, error replies. */
  readonly errors: NodeJS.WritableStream;
  readonly token?: string;
  /** Each object as it came, one on a line, instead of text for people. */
  readonly json?: boolean;
  /** Ends it: within a second, whether or not the server answers. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/**
 * Shows a room in a terminal until it is over: an exit code, 0 where it was ended here or normally by
 * the server. Once it was connected, it comes back as `closing` and the close codes say. Never rejects.
 */
export async function watch(options: WatchOptions): Promise<number> {
  try {
    return await new Watch(roomAddress(options.url), options).run();
  } catch (error) {
    options.errors.write(`${escapeControls(error instanceof Error ? error.message : String(error))}\n`);
    return 1;
  }
}

/** `belfry watch`: as `watch`, on the streams of this process until it is told to stop. */
export function watchUntilSignal(url: string, json: boolean): Promise<number> {
  const ending = new AbortController();
  process.on('SIGINT', () => ending.abort());
  process.on('SIGTERM', () => ending.abort());
  const { stdin: input, stdout: output, stderr: errors } = process;
  return watch({ url, input, output, errors, json, signal: ending.signal, clock: systemClock });
}

/** What may wait for the server before reading from the input stops. */
const MOST_UNSENT_BYTES = 1024 * 1024;
/** A connection that was open for so long has gone well: the next back-off starts small again. */
const WENT_WELL_MS = 5000;
/** The server pings every `heartbeatSeconds`; after so many of them without a sign it is gone. */
const SILENT_HEARTBEATS = 2.5;

class Watch {
  readonly #address: URL;
  readonly #options: WatchOptions;
  readonly #signal: AbortSignal;
  /** Nothing can be shown any more. */
  readonly #unread = new AbortController();
  #exitCode = 0;
  readonly #chains = new Map<string, Chain>();
  #socket: WebSocket | undefined;
  #openedAtMs: number | undefined;
  #closing: { readonly data: CloseReason; readonly room: string | undefined } | undefined;
  #lastId: string | undefined;
  #failures = 0;
  #silenceMs = 0;
  #cancelSilence: Cancel = () => {};

  constructor(address: URL, options: WatchOptions) {
    this.#address = address;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#unread.signal]);
  }

  async run(): Promise<number> {
    const { input, output } = this.#options;
    const onUnread = (error: NodeJS.ErrnoException) => {
      // A closed pipe is the normal end of `watch | head`; a full disk is a fault.
      if (error.code !== 'EPIPE' && !this.#unread.signal.aborted) {
        this.#note(`what comes cannot be written: ${error.code ?? error.message}`);
        this.#exitCode = 1;
      }
      this.#unread.abort();
    };
    const stopReading = onLines(input, (line) => this.#publish(line));
    output.on('error', onUnread);
    try {
      return await this.#stay();
    } finally {
      stopReading();
      output.off('error', onUnread);
    }
  }

  async #stay(): Promise<number> {
    while (!this.#signal.aborted) {
      const ending = await this.#connection();
      if (this.#signal.aborted) break;
      const waitMs = this.#comeBackAfterMs(ending);
      this.#note(endingWords(ending));
      if (waitMs === undefined) return ending.how === 'closed' && ending.code === 1000 ? 0 : 1;
      this.#note(`coming back in ${(waitMs / 1000).toFixed(1)} s`);
      this.#failures += 1;
      await this.#wait(waitMs);
    }
    return this.#exitCode;
  }

  async #connection(): Promise<Ending> {
    const { token, clock } = this.#options;
    this.#closing = undefined;
    const ending = await attend(this.#from(), {
      token,
      clock,
      signal: this.#signal,
      onOpen: (socket) => this.#onOpen(socket),
      onText: (text) => this.#onText(text),
    });
    this.#socket = undefined;
    this.#cancelSilence();
    return ending;
  }

  /** The room's address, from the last message on that was seen. */
  #from(): URL {
    const address = new URL(this.#address);
    if (this.#lastId !== undefined) address.searchParams.set('since', this.#lastId);
    return address;
  }

  /** Undefined: not at all. Who was never let in does not come back by itself. */
  #comeBackAfterMs(ending: Ending): number | undefined {
    if (this.#openedAtMs === undefined) return undefined;
    if (ending.how === 'failed') return backOffMs(this.#failures);
    if (ending.how === 'refused') {
      if (ending.retryAfterMs === undefined && ending.status < 500) return undefined;
      return Math.max(ending.retryAfterMs ?? 0, backOffMs(this.#failures));
    }
    if (this.#options.clock.monotonic() - this.#openedAtMs >= WENT_WELL_MS) this.#failures = 0;
    return comeBackAfterMs(ending.code, this.#closingOf(ending.code), this.#failures);
  }

  /** What was said of one room of several is not why the connection ended, unless the code is its. */
  #closingOf(code: number): CloseReason | undefined {
    if (this.#closing?.room !== undefined && this.#closing.data.code !== code) return undefined;
    return this.#closing?.data;
  }

  #onOpen(socket: WebSocket): void {
    this.#socket = socket;
    this.#options.input.resume();
    this.#openedAtMs = this.#options.clock.monotonic();
    socket.on('ping', () => this.#listenForSilence());
    this.#note(`connected to ${this.#address.origin}${this.#address.pathname}`);
  }

  #onText(text: string): void {
    const received = parse(text);
    if (!received) {
      this.#note(`received what is no JSON object: ${text}`);
      return;
    }
    if (received.id !== undefined) this.#lastId = received.id;
    // What the contract promises for the data of these two.
    if (received.event === 'closing') this.#onClosing(received.data as CloseReason, received.room);
    if (received.event === 'hello') this.#silenceMs = heartbeatMs(received) * SILENT_HEARTBEATS;
    this.#listenForSilence();
    this.#show(received, text);
  }

  #onClosing(closing: CloseReason, room: string | undefined): void {
    this.#closing = { data: closing, room };
    this.#note(`${room === undefined ? '' : `${room}: `}${closingWords(closing)}`);
  }

  #show(received: Received, text: string): void {
    const { reply, error, event, tick } = received;
    const unbroken = !tick || this.#chain(received.room, tick.schedule).take(tick);
    if (event === 'status') {
      const { schedule, state } = members(received.data);
      if (state === 'changed') this.#chain(received.room, String(schedule)).restart();
    }
    if (this.#options.json) this.#print(jsonLine(text));
    else if (error) this.#note(`${reply}: ${error.status} ${error.title}: ${error.detail ?? ''}`);
    else if (event !== 'closing') this.#print(eventLine(received, this.#options.clock.now(), unbroken));
  }

  #chain(room: string | undefined, schedule: string): Chain {
    const key = `${room} ${schedule}`;
    const chain = this.#chains.get(key) ?? new Chain();
    this.#chains.set(key, chain);
    return chain;
  }

  #print(line: string): void {
    this.#put(this.#options.output, line);
  }

  #note(text: string): void {
    this.#put(this.#options.errors, escapeControls(text));
  }

  /** A reader that is too slow holds back the socket, so that nothing piles up here. */
  #put(output: NodeJS.WritableStream, line: string): void {
    const socket = this.#socket;
    if (output.write(`${line}\n`) || !socket || socket.isPaused) return;
    socket.pause();
    this.#cancelSilence();
    output.once('drain', () => {
      socket.resume();
      this.#listenForSilence();
    });
  }

  #publish(line: string): void {
    const socket = this.#socket;
    if (!socket) {
      this.#note(`not connected, so this was not sent: ${line}`);
      return;
    }
    const { input } = this.#options;
    socket.send(JSON.stringify({ action: 'publish', data: dataOf(line) }), () => {
      if (this.#socket === socket) input.resume();
    });
    if (socket.bufferedAmount > MOST_UNSENT_BYTES) input.pause();
  }

  #listenForSilence(): void {
    this.#cancelSilence();
    if (!(this.#silenceMs > 0) || this.#socket?.isPaused) return;
    this.#cancelSilence = this.#options.clock.after(this.#silenceMs, () => {
      this.#note(`nothing heard for ${this.#silenceMs / 1000} s`);
      this.#socket?.terminate();
    });
  }

  #wait(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        this.#signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#options.clock.after(waitMs, done);
      this.#signal.addEventListener('abort', done);
    });
  }
}

function endingWords(ending: Ending): string {
  if (ending.how === 'failed') return `no connection: ${ending.words}`;
  if (ending.how === 'refused') return `refused: ${ending.words}`;
  return `closed: ${ending.reason || 'no reason given'} (${ending.code})`;
}

function heartbeatMs({ data }: Received): number {
  return 1000 * Number(members(data).heartbeatSeconds ?? 0);
}

function dataOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return { text: line };
  }
}
