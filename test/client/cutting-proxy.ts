import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Random } from '../fuzz/cases.ts';

/** What the proxy does to the connections that go through it. */
export interface Trouble {
  /** Each piece of bytes waits for a random time up to this, in order. */
  readonly delayMs: number;
  /** About after so many bytes a connection is cut in both directions, in the middle of whatever it is. */
  readonly cutAfterBytes: number;
  /** One connection of so many is taken and gets no answer. */
  readonly oneOfSilent: number;
}

/** A TCP proxy that drops, delays and cuts at random bytes; the same seed does the same to the same bytes. */
export class CuttingProxy {
  readonly #target: number;
  readonly #trouble: Trouble;
  readonly #random: Random;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));
  /** From now on nothing is cut or delayed. */
  isCalm = false;
  cuts = 0;

  constructor(target: number, trouble: Trouble, seed: number) {
    this.#target = target;
    this.#trouble = trouble;
    this.#random = new Random(seed);
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    // It listens on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    this.#keep(client);
    const { oneOfSilent, cutAfterBytes } = this.#trouble;
    if (!this.isCalm && this.#random.below(oneOfSilent) === 0) {
      client.resume();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    this.#keep(server);
    let leftBytes = this.#random.below(2 * cutAfterBytes);
    const cut = () => {
      client.resetAndDestroy();
      server.destroy();
    };
    const pipe = (from: Socket, to: Socket) => {
      let queue = Promise.resolve();
      from.on('data', (bytes: Buffer) => {
        const passed = this.isCalm ? bytes : bytes.subarray(0, leftBytes);
        if (!this.isCalm) leftBytes -= passed.length;
        const isCut = passed.length < bytes.length;
        const delayMs = this.isCalm ? 0 : this.#random.below(this.#trouble.delayMs);
        queue = queue.then(async () => {
          await new Promise((resolve) => setTimeout(resolve, delayMs));
          if (!to.destroyed) to.write(passed);
          if (!isCut) return;
          this.cuts++;
          // What was passed leaves first.
          setImmediate(cut);
        });
      });
      from.on('close', () => void queue.then(() => to.end()));
    };
    pipe(client, server);
    pipe(server, client);
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }
}
