import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { AdmittedClient } from '../access/admission.ts';
import { closingText } from '../hub/connection.ts';
import { Refusal } from '../hub/errors.ts';
import type { WireFormat } from '../hub/frame.ts';
import type { CloseReason } from '../protocol/close-reason.ts';
import { Client, type ClientParts } from './client.ts';
import { destroySoon } from './problem.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** An EventSource that lost its stream reconnects after this time, and a random time up to as long again. */
const RETRY_MS = 2000;

/** TCP probes begin after so long without a byte: nothing else shows that a peer is dead. */
const KEEP_ALIVE_MS = 30_000;

const HEADERS: Readonly<Record<string, string>> = {
  ...SECURITY_HEADERS,
  'Content-Type': 'text/event-stream',
  // nginx would otherwise buffer events.
  'X-Accel-Buffering': 'no',
};

/**
 * Owner of one open stream of server-sent events. The events are written past any `Response` and its queue:
 * their bytes are the same for every member, so they go to the socket as they are, without chunk framing.
 */
export class SseClient extends Client {
  readonly #response: ServerResponse;

  /**
   * Begins a stream on the response and joins the rooms. Throws a 400 `Refusal`, and then leaves the slots of
   * the client to the caller, where the socket still belongs to the request before this one.
   */
  static open(
    response: ServerResponse,
    headers: Readonly<Record<string, string>>,
    entry: AdmittedClient,
    parts: ClientParts,
  ): void {
    const { socket } = response;
    if (!socket?.writable) {
      throw new Refusal(
        400,
        'a stream cannot be pipelined behind another request: give it its own connection',
      );
    }
    response.useChunkedEncodingByDefault = false;
    response.shouldKeepAlive = false;
    response.writeHead(200, { ...HEADERS, ...headers });
    response.flushHeaders();
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.setTimeout(0);
    socket.write(retryField(RETRY_MS + Math.random() * RETRY_MS));
    // A client that has ended its side gets no stream. It may have done so while its request waited behind
    // another answer.
    if (socket.readableEnded) socket.end();
    else socket.on('end', endWithPeer);
    void new SseClient(response, socket, entry, parts).join(entry);
  }

  private constructor(response: ServerResponse, socket: Socket, entry: AdmittedClient, parts: ClientParts) {
    super(socket, entry, parts);
    this.#response = response;
    response.on('close', () => this.end());
  }

  get format(): WireFormat {
    return sseFormat;
  }

  close({ retryAfterMs }: CloseReason): void {
    const { socket } = this;
    if (retryAfterMs !== undefined && socket.writable) socket.write(retryField(retryAfterMs));
    this.#response.end();
    socket.end();
    destroySoon(socket);
  }
}

function endWithPeer(this: Socket): void {
  this.end();
}

/** The answer to HEAD: the headers of a stream. */
export function streamHeaders(headers: Readonly<Record<string, string>>): Response {
  return new Response(null, { headers: { ...HEADERS, ...headers } });
}

/**
 * A refusal for an EventSource, which gives up for good on any status but 200. So a refusal that passes by
 * itself is a stream that says when to reconnect, and of a room that is closed for good a 204. `undefined`:
 * answer with the refusal's own status.
 */
export function streamRefusal(
  { details }: Refusal,
  headers: Readonly<Record<string, string>>,
  method: string,
): Response | undefined {
  const { closing } = details;
  if (!closing) return undefined;
  if (!closing.reconnect) return new Response(null, { status: 204, headers });
  // A client that reconnects later needs no socket until then. After HEAD other requests may follow on it.
  const connection = method === 'HEAD' ? undefined : { Connection: 'close' };
  return new Response(refusalBody(closing), { headers: { ...HEADERS, ...headers, ...connection } });
}

/** Writes a refusal that passes by itself, and ends the connection. */
export function writeStreamRefusal(
  response: ServerResponse,
  closing: CloseReason,
  headers: Readonly<Record<string, string>>,
): void {
  const body = refusalBody(closing);
  response.shouldKeepAlive = false;
  response.writeHead(200, { ...HEADERS, ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function refusalBody(closing: CloseReason): string {
  return (
    retryField(closing.retryAfterMs ?? RETRY_MS) +
    sseFormat.encode(closingText(closing, 'connection')).toString()
  );
}

/**
 * Server-sent events (HTML Living Standard, 9.2). No `event` field, so that `onmessage` gets everything. Text
 * with line breaks, which the JSON of an event never has, becomes several `data` lines.
 */
export const sseFormat: WireFormat = {
  name: 'sse',
  length: (textBytes, id) =>
    (id === undefined ? 0 : `id: ${id}\n`.length) + 'data: '.length + textBytes + '\n\n'.length,
  encode(text, id) {
    // Looking for a line break costs less than replacing.
    const isOneLine = !text.includes('\n') && !text.includes('\r');
    const data = isOneLine ? text : text.replaceAll(/\r\n|\n|\r/g, '\ndata: ');
    return Buffer.from(id === undefined ? `data: ${data}\n\n` : `id: ${id}\ndata: ${data}\n\n`);
  },
};

/** Tells an EventSource how long to wait before it connects again. */
export function retryField(ms: number): string {
  return `retry: ${Math.ceil(ms)}\n\n`;
}
