import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Control, Join, Place, Talk } from './api.ts';
import { AGAIN_MS, dial } from './sockets.ts';

const AT_ONCE = 10;
/** A client that keeps the limits sends nothing while so much of what it has sent is not read. */
const MOST_UNSENT_BYTES = 262_144;
const CONTROL_FRAMES = 1000;
const TEXT = 1;
const PING = 9;
const PONG = 10;
const SWITCHED = Buffer.from('HTTP/1.1 101');

/** A masked frame, its mask zero. */
function frame(payload: string, opcode: number): Buffer {
  const bytes = Buffer.from(payload);
  const head =
    bytes.length < 126
      ? [0x80 | opcode, 0x80 | bytes.length]
      : [0x80 | opcode, 0xfe, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), bytes]);
}

interface Options {
  readonly port: number;
  readonly path: string;
  readonly headers?: string | undefined;
  readonly reads?: boolean;
}

/** An open WebSocket; `undefined` where it was refused or cut. */
async function open({ port, path, headers = '', reads = true }: Options): Promise<Socket | undefined> {
  let answered = (_isOpen: boolean) => {};
  const answer = new Promise<boolean>((resolve) => {
    answered = resolve;
  });
  let isOpen = false;
  const { socket, closed } = dial(
    port,
    (bytes) => {
      if (isOpen) return;
      isOpen = true;
      answered(bytes.subarray(0, SWITCHED.length).equals(SWITCHED));
    },
    () => reads || !isOpen,
  );
  void closed.then(() => answered(false));
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  if (await answer) return socket;
  socket.destroy();
  return undefined;
}

/** Keeps so many WebSockets open until the time is over; who is cut comes again. */
async function crowd(
  { connections, seconds, ...options }: Options & { connections: number; seconds: number },
  onOpen: (socket: Socket) => void,
): Promise<void> {
  const endsAt = performance.now() + seconds * 1000;
  const keep = async () => {
    while (performance.now() < endsAt) {
      const leftMs = endsAt - performance.now();
      const opening = open(options);
      const socket = await Promise.race([opening, sleep(leftMs)]);
      if (socket) {
        onOpen(socket);
        const over = setTimeout(() => socket.destroy(), endsAt - performance.now());
        await new Promise<void>((resolve) => {
          if (socket.destroyed) resolve();
          else socket.once('close', () => resolve());
        });
        clearTimeout(over);
      }
      void opening.then((late) => late?.destroy());
      await sleep(AGAIN_MS);
    }
  };
  await Promise.all(Array.from({ length: connections }, keep));
}

export async function talk(attack: Talk, place: Place): Promise<number> {
  const frames = attack.lines.map((line) => frame(line, TEXT));
  let count = 0;
  await crowd({ ...attack, ...place }, (socket) => {
    let next = 0;
    const timer = setInterval(() => {
      const bytes = frames[next++ % frames.length];
      if (!bytes || socket.writableLength > MOST_UNSENT_BYTES) return;
      socket.write(bytes);
      count++;
    }, 1000 / attack.perSecond);
    socket.once('close', () => clearInterval(timer));
  });
  return count;
}

export async function control(attack: Control, place: Place): Promise<number> {
  const both = Buffer.concat([frame('', PING), frame('', PONG), frame('', PONG)]);
  const chunk = Buffer.concat(Array.from({ length: CONTROL_FRAMES }, () => both));
  let count = 0;
  await crowd({ ...attack, ...place }, (socket) => {
    const send = () => {
      if (!socket.writable) return;
      count += 3 * CONTROL_FRAMES;
      if (socket.write(chunk)) setImmediate(send);
      else socket.once('drain', send);
    };
    send();
  });
  return count;
}

export async function join(attack: Join, { port, seconds }: Place): Promise<number> {
  const { path, connections, reads, headers, stays = false } = attack;
  const endsAt = performance.now() + seconds * 1000;
  const sockets: Socket[] = [];
  let next = 0;
  const openSome = async () => {
    while (next < connections && performance.now() < endsAt) {
      const number = String(next++);
      const socket = await Promise.race([
        open({ port, path: path.replaceAll('{n}', number), headers, reads }),
        sleep(endsAt - performance.now()),
      ]);
      if (socket) sockets.push(socket);
      else await sleep(AGAIN_MS);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openSome));
  if (stays) return sockets.length;
  await sleep(Math.max(endsAt - performance.now(), 0));
  for (const socket of sockets) socket.destroy();
  return sockets.length;
}
