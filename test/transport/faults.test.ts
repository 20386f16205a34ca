import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ limits: { maxPayloadBytes: 1000 } });
});
afterAll(() => server.stop());

/** Frames that the WebSocket library finds fault with, masked with zeros where they have to be. */
const FAULTS: readonly [what: string, code: number, frame: () => Buffer][] = [
  ['a message above limits.maxPayloadBytes', 1009, () => textFrame(Buffer.alloc(1001, 'a'))],
  ['a text that is not UTF-8', 1007, () => textFrame(Buffer.from([0xff, 0xfe]))],
  ['an unmasked frame', 1002, () => Buffer.from([0x81, 0x02, 0x7b, 0x7d])],
  ['a reserved bit', 1002, () => Buffer.from([0xc1, 0x80, 0, 0, 0, 0])],
];

describe('a frame that the library would close for', () => {
  it.each(FAULTS)('%s is told in words, closed with %i and counted', async (_what, code, frame) => {
    const guest = new SocketGuest(`${server.url}/rooms/lobby`);
    await guest.event('hello');
    const before = await closesOf(code);
    // The client library would not send any of these.
    const { _socket: socket } = guest.socket as unknown as { _socket: import('node:net').Socket };
    socket.write(frame());
    const closing = await guest.event('closing');
    expect(closing.data).toMatchObject({ code, reconnect: false });
    expect(await guest.closed).toMatchObject({ code, reason: closing.data.reason });
    expect(await closesOf(code)).toBe(before + 1);
  });
});

async function closesOf(code: number): Promise<number> {
  const { closes } = await server.admin('/stats');
  return (closes as Record<string, number>)[code] ?? 0; // as the contract of /admin/stats has it
}

function textFrame(payload: Buffer): Buffer {
  const length = Buffer.from([0, 0]);
  length.writeUInt16BE(payload.length);
  const short = payload.length < 126;
  const head = short ? [0x81, 0x80 | payload.length] : [0x81, 0x80 | 126, ...length];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}
