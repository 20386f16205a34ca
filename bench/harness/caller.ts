import { connect, type Socket } from 'node:net';
import { TOKEN } from './belfry.ts';

/**
 * Sends one admin call again and again over connections that stay open. It does no more than that: `fetch`
 * takes 1 ms by itself, which would be measured with the answer.
 */
export class Caller {
  readonly #port: number;
  readonly #request: string;
  readonly #idle: Socket[] = [];

  constructor(port: number, path: string, body: object) {
    const text = JSON.stringify(body);
    this.#port = port;
    this.#request = [
      `POST ${path} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      `Authorization: Bearer ${TOKEN}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(text)}`,
      '',
      text,
    ].join('\r\n');
  }

  /** Resolves to the milliseconds until the answer was there; rejects where it is no success. */
  call(): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = this.#idle.pop() ?? this.#connect();
      let answer = '';
      const began = performance.now();
      const ended = () => reject(new Error(`a connection was closed before an answer: ${answer}`));
      const read = (bytes: Buffer) => {
        answer += bytes;
        // Each answer is JSON, and a final newline.
        if (!answer.endsWith('}\n')) return;
        socket.off('data', read).off('close', ended);
        this.#idle.push(socket);
        if (answer.startsWith('HTTP/1.1 200 ')) resolve(performance.now() - began);
        else reject(new Error(answer));
      };
      socket.on('data', read).once('close', ended);
      socket.write(this.#request);
    });
  }

  close(): void {
    for (const socket of this.#idle.splice(0)) socket.destroy();
  }

  #connect(): Socket {
    const socket = connect(this.#port, '127.0.0.1').setNoDelay();
    // The server closes what has been idle for long.
    return socket.once('close', () => {
      const index = this.#idle.indexOf(socket);
      if (index !== -1) this.#idle.splice(index, 1);
    });
  }
}
