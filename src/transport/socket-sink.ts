import type { Duplex } from 'node:stream';
import type { WireFormat } from '../hub/frame.ts';
import type { Sink } from '../hub/outbox.ts';
import type { CloseReason } from '../protocol/close-reason.ts';

/**
 * The hub's end of a socket: whole frames go to it as they are, the same bytes for every member of a
 * room. A transport says what they look like and how it ends.
 */
export abstract class SocketSink<Socket extends Duplex = Duplex> implements Sink {
  abstract readonly format: WireFormat;
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  write(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  whenTaken(callback: () => void): void {
    if (this.socket.writable) this.socket.write('', (error) => error ?? callback());
  }

  abstract close(reason: CloseReason): void;
}
