import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import { Rooms, serveBaseline } from './baseline.ts';

/** The least that `ws` allows: each tick is one complete frame, written to all raw sockets. */
const rooms = new Rooms<Socket>();

async function listen(): Promise<number> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('connection', (webSocket, { socket, url = '' }) => {
    webSocket.on('close', rooms.join(url.slice('/rooms/'.length), socket));
  });
  await once(server, 'listening');
  // `address()` is a string for a Unix socket only.
  return (server.address() as AddressInfo).port;
}

/** A text frame of RFC 6455, unmasked, as a server sends it. */
function frameOf(text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  return Buffer.concat([
    Buffer.from(length < 126 ? [0x81, length] : [0x81, 126, length >> 8, length & 0xff]),
    payload,
  ]);
}

serveBaseline(listen, rooms, (text, sockets) => {
  const frame = frameOf(text);
  for (const socket of sockets) socket.write(frame);
});
