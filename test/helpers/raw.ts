import { connect, type Socket } from 'node:net';

/** A TCP client that sends exactly the given bytes. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  /** Joined when they are asked for: joining at each read would copy a large answer many times. */
  #chunks: Buffer[] = [];

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('error', () => {});
    this.socket.on('data', (bytes) => {
      this.#chunks.push(bytes);
      this.socket.emit('heard');
    });
    this.closed = new Promise((resolve) => this.socket.once('close', resolve).once('end', resolve));
  }

  /** All that came so far, a character for each byte. */
  get heard(): string {
    return this.bytes.toString('latin1');
  }

  get bytes(): Buffer {
    const [only, ...others] = this.#chunks;
    const all = only && others.length === 0 ? only : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  say(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }

  /** Resolves to all that was heard as soon as it contains `text`. */
  async until(text: string): Promise<string> {
    if (!(await this.hears(() => this.heard.includes(text))))
      throw new Error(`closed before "${text}" came:\n${this.heard}`);
    return this.heard;
  }

  /** Resolves to true as soon as what was heard fits, to false where the server hangs up before it does. */
  hears(fits: () => boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (did: boolean) => {
        this.socket.off('heard', look);
        resolve(did);
      };
      const look = () => {
        if (fits()) finish(true);
      };
      this.socket.on('heard', look);
      void this.closed.then(() => finish(fits()));
      look();
    });
  }

  /** Everything until the server hangs up. */
  async all(): Promise<string> {
    await this.closed;
    this.socket.destroy();
    return this.heard;
  }

  /** Resets the connection, with no close frame or FIN before it. */
  reset(): void {
    this.socket.resetAndDestroy();
  }
}

/** An answer over HTTP/1.1, read apart. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** Sends bytes and reads all that comes until the server hangs up. */
export async function exchange(port: number, text: string): Promise<Answer> {
  return answer(await new RawClient(port).say(text).all());
}

export function answer(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [status = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Headers(
    lines.map((line): [string, string] => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1)]),
  );
  return { status: Number(status.split(' ')[1]), headers, body: text.slice(end + 4) };
}

/** A request as text; a header set to `undefined` is left out. */
export function request(
  target: string,
  headers: Record<string, string | undefined> = {},
  method = 'GET',
): string {
  const lines = Object.entries({ Host: '127.0.0.1', ...headers }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`],
  );
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** A sound WebSocket handshake, but for the headers given. */
export function handshake(
  target = '/rooms/lobby',
  headers: Record<string, string | undefined> = {},
  method = 'GET',
): string {
  return request(
    target,
    {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    },
    method,
  );
}

/** A masked frame, as clients send them; the mask is zero. At most 65,535 bytes. */
export function clientFrame(payload: string | Buffer, opcode = 1): Buffer {
  const bytes = Buffer.from(payload);
  const head =
    bytes.length <= 125
      ? Buffer.from([0x80 | opcode, 0x80 | bytes.length])
      : Buffer.from([0x80 | opcode, 0xfe, bytes.length >> 8, bytes.length & 0xff]);
  return Buffer.concat([head, Buffer.alloc(4), bytes]);
}
