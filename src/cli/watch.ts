import { ChainCheck } from '../client/chain-check.ts';
import { type Closing, members, publishText, type Received } from '../client/messages.ts';
import { type ClientState, ReconnectingClient } from '../client/reconnecting-client.ts';
import type { Ending } from '../client/wire.ts';
import { type Clock, systemClock } from '../clock.ts';
import { isRoomName } from '../hub/event.ts';
import { DEFAULT_URL } from './command.ts';
import { closingWords, escapeControls, eventLine, jsonLine } from './event-line.ts';
import { onLines } from './lines.ts';
import { wsWire } from './ws-wire.ts';

export interface WatchOptions {
  /** A URL, a path or a room's name. */
  readonly url: string;
  /** Each line is published: JSON as it stands, anything else as `{"text": line}`. Its end ends nothing. */
  readonly input: NodeJS.ReadableStream;
  /** What the room sends, a line for each event. */
  readonly output: NodeJS.WritableStream;
  /** Notes about the connection: refusals, closings, error replies. */
  readonly errors: NodeJS.WritableStream;
  readonly token?: string;
  /** Print each object as it was received, one on a line, instead of readable text. */
  readonly json?: boolean;
  /** Ends it: within a second, whether or not the server answers. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/**
 * `belfry watch`: runs `watch` on the streams of this process until a signal stops it. The token is that of
 * BELFRY_TOKEN: an option would show it in the list of processes.
 */
export function watchUntilSignal(url: string, json: boolean): Promise<number> {
  const stop = new AbortController();
  process.on('SIGINT', () => stop.abort());
  process.on('SIGTERM', () => stop.abort());
  const { stdin: input, stdout: output, stderr: errors } = process;
  const token = process.env.BELFRY_TOKEN;
  const options = { url, input, output, errors, json, ...(token && { token }) };
  return watch({ ...options, signal: stop.signal, clock: systemClock });
}

/**
 * Shows a room in a terminal, and resolves to an exit code: 0 where it was stopped by the user or closed
 * normally by the server. Once it was connected, or told when to come back, it reconnects until the server
 * says not to. Never rejects.
 */
export async function watch(options: WatchOptions): Promise<number> {
  try {
    return await new Watch(roomAddress(options.url), options).run();
  } catch (error) {
    options.errors.write(`${escapeControls(error instanceof Error ? error.message : String(error))}\n`);
    return 1;
  }
}

/** With so much text unsent the input is paused. */
const MAX_UNSENT_CHARACTERS = 1024 * 1024;

class Watch {
  readonly #address: URL;
  readonly #options: WatchOptions;
  readonly #client: ReconnectingClient;
  readonly #chains = new Map<string, ChainCheck>();
  #wasConnected = false;
  #unsentCharacters = 0;
  #isHeldBack = false;
  #isOver = false;
  #resolve: (exitCode: number) => void = () => {};

  constructor(address: URL, options: WatchOptions) {
    const { token, clock } = options;
    this.#address = address;
    this.#options = options;
    this.#client = new ReconnectingClient({
      address: () => address,
      clock,
      openWire: wsWire(token),
      listener: {
        onState: (state) => this.#onState(state),
        onReceived: (received, text) => this.#onReceived(received, text),
        onMalformed: (text) => this.#note(`received what is no JSON object: ${text}`),
      },
    });
  }

  async run(): Promise<number> {
    const { input, output, signal } = this.#options;
    const stopReading = onLines(input, (line) => this.#publish(line));
    const onOutputError = (error: NodeJS.ErrnoException) => this.#onOutputError(error);
    output.on('error', onOutputError);
    try {
      return await new Promise<number>((resolve) => {
        this.#resolve = resolve;
        signal.addEventListener('abort', () => this.#stop(0));
        if (signal.aborted) this.#stop(0);
        else this.#client.connect();
      });
    } finally {
      stopReading();
      output.off('error', onOutputError);
    }
  }

  #stop(exitCode: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    void this.#client.close().then(() => this.#resolve(exitCode));
  }

  #onOutputError({ code, message }: NodeJS.ErrnoException): void {
    if (this.#isOver) return;
    // A closed pipe is the normal end of `watch | head`; a full disk is a fault.
    const isClosedPipe = code === 'EPIPE';
    if (!isClosedPipe) this.#note(`what comes cannot be written: ${code ?? message}`);
    this.#stop(isClosedPipe ? 0 : 1);
  }

  #onState(state: ClientState): void {
    if (state.name === 'connecting') return;
    if (state.name === 'open') {
      this.#wasConnected = true;
      this.#options.input.resume();
      this.#note(`connected to ${this.#address.origin}${this.#address.pathname}`);
      return;
    }
    const { ending } = state;
    if (ending.how === 'closed' && ending.silentMs !== undefined)
      this.#note(`nothing heard for ${ending.silentMs / 1000} s`);
    this.#note(endingWords(ending));
    if (state.name === 'closed') this.#stop(ending.how === 'closed' && ending.code === 1000 ? 0 : 1);
    // The user may have mistyped an address that was never reached, but not that of a room which is locked.
    else if (this.#wasConnected || (ending.how === 'refused' && ending.retryAfterMs !== undefined))
      this.#note(`coming back in ${(state.delayMs / 1000).toFixed(1)} s`);
    else this.#stop(1);
  }

  #onReceived(received: Received, text: string): void {
    const { reply, error, event, tick, room } = received;
    const { schedule, state } = members(received.data);
    // What the contract promises for its data.
    if (event === 'closing') this.#noteClosing(received.data as Closing, room);
    if (event === 'status' && state === 'changed') this.#chain(room, String(schedule)).restart();
    const isUnbroken = !tick || this.#chain(room, tick.schedule).take(tick);
    if (this.#options.json) this.#print(jsonLine(text));
    else if (error) this.#note(`${reply}: ${error.status} ${error.title}: ${error.detail}`);
    else if (event !== 'closing') this.#print(eventLine(received, this.#options.clock.now(), isUnbroken));
  }

  #noteClosing(closing: Closing, room: string | undefined): void {
    this.#note(`${room === undefined ? '' : `${room}: `}${closingWords(closing)}`);
  }

  #chain(room: string | undefined, schedule: string): ChainCheck {
    const key = `${room} ${schedule}`;
    const chain = this.#chains.get(key) ?? new ChainCheck();
    this.#chains.set(key, chain);
    return chain;
  }

  #print(line: string): void {
    this.#write(this.#options.output, line);
  }

  #note(text: string): void {
    this.#write(this.#options.errors, escapeControls(text));
  }

  /** While the reader of the output is slow, nothing is read from the server: no text collects here. */
  #write(output: NodeJS.WritableStream, line: string): void {
    if (output.write(`${line}\n`) || this.#isHeldBack) return;
    this.#isHeldBack = true;
    this.#client.pause();
    output.once('drain', () => {
      this.#isHeldBack = false;
      this.#client.resume();
    });
  }

  #publish(line: string): void {
    const { input } = this.#options;
    const text = publishText(line);
    const sent = this.#client.send(text);
    if (!sent) {
      this.#note(`not connected, so this was not sent: ${line}`);
      return;
    }
    this.#unsentCharacters += text.length;
    if (this.#unsentCharacters > MAX_UNSENT_CHARACTERS) input.pause();
    void sent.then(() => {
      this.#unsentCharacters -= text.length;
      if (this.#client.isOpen) input.resume();
    });
  }
}

function endingWords(ending: Ending): string {
  if (ending.how === 'failed') return `no connection: ${ending.text}`;
  if (ending.how === 'refused') return `refused: ${ending.text}`;
  return `closed: ${ending.reason || 'no reason given'} (${ending.code})`;
}

const PROTOCOLS: Readonly<Record<string, string>> = {
  'http:': 'ws:',
  'https:': 'wss:',
  'ws:': 'ws:',
  'wss:': 'wss:',
};

/**
 * Makes a WebSocket address of what a user typed: a URL (http or ws, with or without the s; the bare host
 * is its lobby), a path (`/rooms/lobby`) or a room's name, both on the default host. Throws an `Error` that
 * says what would be accepted.
 */
export function roomAddress(typed: string): URL {
  if (isRoomName(typed)) return new URL(`/rooms/${typed}`, DEFAULT_URL);
  const url = URL.canParse(typed, DEFAULT_URL) ? new URL(typed, DEFAULT_URL) : undefined;
  const protocol = PROTOCOLS[url?.protocol ?? ''];
  if (!url || !protocol || !(typed.startsWith('/') || typed.includes('://')))
    throw new Error(`${JSON.stringify(typed)} is no address: write a room, /rooms/lobby or ${DEFAULT_URL}`);
  url.protocol = protocol;
  url.hash = '';
  if (url.pathname === '/') url.pathname = '/rooms/lobby';
  return url;
}
