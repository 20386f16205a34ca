import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bare, Place } from './api.ts';

/** Who was cut comes again after this: an attack is bounded in rate as well as in time. */
export const AGAIN_MS = 20;
const AT_ONCE = 100;
/** So many connections share an address of the loopback network before the next one is taken. */
const PER_ADDRESS = 1000;

/** All sockets are read into this one: attackers keep nothing. */
const READ = Buffer.allocUnsafe(65_536);

let opened = 0;

export interface Dialled {
  readonly socket: Socket;
  /** Resolves to whether it was connected. */
  readonly connected: Promise<boolean>;
  /** Resolves when it is closed, by whichever side. */
  readonly closed: Promise<void>;
}

/** A socket to the server, from one of many addresses, so that ports do not run out. */
export function dial(
  port: number,
  onBytes: (bytes: Buffer) => void = () => {},
  reads: () => boolean = () => true,
): Dialled {
  const number = Math.floor(opened++ / PER_ADDRESS);
  const socket = connect({
    host: '127.0.0.1',
    port,
    localAddress: `127.77.${(Math.floor(number / 250) % 250) + 1}.${(number % 250) + 1}`,
    onread: {
      buffer: READ,
      callback: (length) => {
        onBytes(READ.subarray(0, length));
        return reads();
      },
    },
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const connected = new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
  return { socket, connected, closed };
}

/** Holds so many sockets; resolves to how many were opened in all. */
export async function bare({ says, connections }: Bare, { port, seconds }: Place): Promise<number> {
  const endsAt = performance.now() + seconds * 1000;
  const sockets = new Set<Socket>();
  let count = 0;
  const open = async () => {
    const { socket, connected, closed } = dial(port);
    sockets.add(socket);
    void closed.then(() => sockets.delete(socket));
    if (await connected) {
      count++;
      if (says !== '') socket.write(says);
    }
  };
  while (performance.now() < endsAt) {
    const lacking = Math.min(connections - sockets.size, AT_ONCE);
    await Promise.race([Promise.all(Array.from({ length: lacking }, open)), sleep(1000)]);
    await sleep(AGAIN_MS);
  }
  for (const socket of sockets) socket.destroy();
  return count;
}
