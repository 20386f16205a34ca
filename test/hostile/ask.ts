import { answer, handshake, RawClient } from '../helpers/raw.ts';
import type { TestServer } from '../helpers/server.ts';

/** Does something to a server and puts into words what came back, to be matched against a pattern. */
export type Ask = (server: TestServer) => Promise<string>;

export interface FrameParts {
  readonly payload?: string | Buffer;
  readonly opcode?: number;
  readonly fin?: boolean;
  /** RSV1 to RSV3 as three bits. */
  readonly reserved?: number;
  readonly masked?: boolean;
  /** What the frame claims to hold, where that is not what it holds. */
  readonly claims?: number;
}

/** A frame of RFC 6455, 5.2, as wrong as one likes. The mask is zero. */
export function frame(parts: FrameParts): Buffer {
  const { payload = '', opcode = 1, fin = true, reserved = 0, masked = true } = parts;
  const bytes = Buffer.from(payload);
  const length = parts.claims ?? bytes.length;
  const maskBit = masked ? 0x80 : 0;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  if (length < 126) head[1] = maskBit | length;
  else if (length < 65_536) {
    head[1] = maskBit | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = maskBit | 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), bytes]);
}

/** Sends a request as it is; answers `404 {"type":…}`, or `hung up` where nothing came. */
export function http(text: string | ((server: TestServer) => string)): Ask {
  return async (server) => {
    const sent = typeof text === 'string' ? text : text(server);
    const heard = await new RawClient(server.port).say(Buffer.from(sent, 'latin1')).all();
    if (heard === '') return 'hung up';
    const { status, headers, body } = answer(heard);
    return [status, headers.get('content-type') ?? '', body].join(' ');
  };
}

/** The same, and ends its own side of the connection at once. */
export function halfClosed(text: string): Ask {
  return async (server) => {
    const client = new RawClient(server.port);
    client.socket.end(text);
    return (await client.all()) || 'hung up';
  };
}

/** The same with the operator's token. */
export function asOperator(method: string, path: string, body: string | Buffer = '', headers = ''): Ask {
  return http(({ belfry }) => {
    const length = /transfer-encoding/i.test(headers) ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    return (
      `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n` +
      `Authorization: Bearer ${belfry.madeToken}\r\n${length}${headers}\r\n${Buffer.from(body).toString('latin1')}`
    );
  });
}

/** Opens a WebSocket and sends frames; answers `close 1003 …` or `hung up`, or with all replies up to that of a last ping. */
export function frames(...sent: Buffer[]): Ask {
  return async (server) => {
    const client = await opened(server);
    for (const bytes of sent) client.say(bytes);
    client.say(frame({ payload: '{"action":"ping","ref":"last"}' }));
    return said(client);
  };
}

/** The same for lines, each a text frame of its own. */
export function lines(...texts: string[]): Ask {
  return frames(...texts.map((payload) => frame({ payload })));
}

export async function opened(server: TestServer, target = '/rooms/lobby'): Promise<RawClient> {
  const client = new RawClient(server.port).say(handshake(target));
  await client.until('"hello"');
  return client;
}

/** What the server said on a WebSocket until it closed or answered the last ping, without its events. */
async function said(client: RawClient): Promise<string> {
  const isClosed = () => heardFrames(client).some(({ opcode }) => opcode === 8);
  // A ping that is answered shows that the connection stays. A close frame is the end as well: the server
  // waits for some seconds until this client sends one too.
  await client.hears(() => client.heard.includes('"ref":"last"') || isClosed());
  const words: string[] = [];
  for (const { opcode, payload } of heardFrames(client)) {
    const text = payload.toString();
    if (opcode === 8) words.push(`close ${payload.readUInt16BE(0)} ${payload.subarray(2)}`);
    else if (opcode === 10) words.push('pong');
    else if (text.startsWith('{"reply"') || text.startsWith('{"event":"closing"')) words.push(text);
  }
  client.reset();
  return words.join('\n') || 'hung up';
}

function heardFrames(client: RawClient): { opcode: number; payload: Buffer }[] {
  return [...serverFrames(client.bytes.subarray(client.bytes.indexOf('\r\n\r\n') + 4))];
}

function* serverFrames(bytes: Buffer): Generator<{ opcode: number; payload: Buffer }> {
  let at = 0;
  while (at + 2 <= bytes.length) {
    const opcode = bytes.readUInt8(at) & 15;
    const short = bytes.readUInt8(at + 1);
    if (short === 126 && at + 4 > bytes.length) return;
    const [length, head] = short === 126 ? [bytes.readUInt16BE(at + 2), 4] : [short, 2];
    if (at + head + length > bytes.length) return;
    yield { opcode, payload: bytes.subarray(at + head, at + head + length) };
    at += head + length;
  }
}
