import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { PacedSocket } from '../../src/feed/http-client.ts';

/** A connection that has this in its buffer. */
function full(bytes: number, mostBytes = 10_000_000) {
  const far = new PassThrough({ highWaterMark: bytes });
  far.write(Buffer.alloc(bytes, 'x'));
  return { far, socket: new PacedSocket(far, mostBytes) };
}

describe('PacedSocket', () => {
  it('hands on 16 KiB at most, and no more than that in one turn of the event loop', async () => {
    const { far, socket } = full(1_000_000);
    let turn = 0;
    const bytesInTurn = new Map<number, number>();
    const count = () => {
      turn += 1;
      if (!socket.destroyed) setImmediate(count);
    };
    count();
    let all = 0;
    socket.on('data', (piece: Buffer) => {
      all += piece.length;
      bytesInTurn.set(turn, (bytesInTurn.get(turn) ?? 0) + piece.length);
    });
    far.end();
    await once(socket, 'end');
    socket.destroy();
    expect(all).toBe(1_000_000);
    expect(Math.max(...bytesInTurn.values())).toBe(16_384);
  });

  it('takes exactly as many bytes as it may, and is destroyed at one more', async () => {
    const enough = full(50_000, 50_000);
    enough.far.end();
    enough.socket.resume();
    await once(enough.socket, 'end');
    const { far, socket } = full(50_001, 50_000);
    socket.resume();
    await expect(once(socket, 'end')).rejects.toMatchObject({
      reason: 'too-large',
      message: 'more than 50000 bytes were sent, and no end came',
    });
    expect(far.destroyed).toBe(true);
  });

  it('reads no further ahead than it is read', async () => {
    const { far, socket } = full(1_000_000);
    await once(socket, 'readable');
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(socket.readableLength).toBeLessThanOrEqual(32_768);
    expect(far.readableLength).toBeGreaterThan(900_000);
    socket.destroy();
  });

  it('passes on what is written, the end, and errors of the connection', async () => {
    const far = new PassThrough();
    const socket = new PacedSocket(far, 1000);
    socket.end('hello');
    expect(String(await once(socket, 'data'))).toBe('hello');
    await once(socket, 'end');
    const broken = new PassThrough();
    const other = new PacedSocket(broken, 1000);
    broken.destroy(new Error('ECONNRESET'));
    await expect(once(other, 'close')).rejects.toThrow('ECONNRESET');
    const left = new PassThrough();
    const last = new PacedSocket(left, 1000);
    left.destroy();
    await once(last, 'close');
  });
});
