import type { Socket } from 'node:net';
import type { Count } from './sockets.ts';

/** A client that keeps the limits sends nothing while so much of what it has sent is not read. */
const MOST_UNSENT_BYTES = 262_144;
const CONTROL_FRAMES = 1000;
const TEXT = 1;
const PING = 9;
const PONG = 10;

/** Sends these lines in turn, at a rate. */
export function talk(lines: readonly string[], perSecond: number): (socket: Socket, count: Count) => void {
  const frames = lines.map((line) => frame(line, TEXT));
  return (socket, count) => {
    let next = 0;
    const timer = setInterval(() => {
      const bytes = frames[next++ % frames.length];
      if (!bytes || socket.writableLength > MOST_UNSENT_BYTES) return;
      socket.write(bytes);
      count();
    }, 1000 / perSecond);
    socket.once('close', () => clearInterval(timer));
  };
}

/** Sends pings and pongs as fast as the server reads. */
export function flood(socket: Socket, count: Count): void {
  if (!socket.writable) return;
  count(3 * CONTROL_FRAMES);
  const goOn = () => flood(socket, count);
  if (socket.write(PINGS_AND_PONGS)) setImmediate(goOn);
  else socket.once('drain', goOn);
}

const PINGS_AND_PONGS = Buffer.concat(
  Array.from({ length: CONTROL_FRAMES }, () => [frame('', PING), frame('', PONG), frame('', PONG)]).flat(),
);

/** A masked frame, its mask zero. */
function frame(payload: string, opcode: number): Buffer {
  const bytes = Buffer.from(payload);
  const head =
    bytes.length < 126
      ? [0x80 | opcode, 0x80 | bytes.length]
      : [0x80 | opcode, 0xfe, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), bytes]);
}
