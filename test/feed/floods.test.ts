import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { httpFeed } from '../../src/feed/http.ts';
import { read, readable } from './fixture.ts';
import { Upstream } from './upstream.ts';

describe('the http feed is not kept busy by an upstream that sends', () => {
  const interim = 'HTTP/1.1 103 Early Hints\r\n\r\n';
  const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
  it.each([
    ['interim answers', '', interim, 'failed', 'more than 10 interim answers (status 1xx), and no other'],
    ['100 Continue', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'failed', 'more than 10 interim answers'],
    [
      'long interim answers',
      '',
      interim.replace('\r\n\r', '\r\na: b\r\n\r'),
      'failed',
      'more than 10 interim',
    ],
    ['headers', 'HTTP/1.1 200 OK\r\n', 'a: b\r\n', 'too-large', 'Header overflow'],
    ['a status line', 'HTTP/1.1 200 ', 'a', 'too-large', 'Header overflow'],
    ['empty lines', '', '\r\n', 'too-large', 'more than 786432 bytes were sent, and no end came'],
    ['chunks of a byte', chunked, '1\r\nx\r\n', 'too-large', 'the answer is larger than 65536 bytes'],
    [
      'extensions of chunks',
      chunked,
      `1;${'a'.repeat(15_000)}\r\nx\r\n`,
      'too-large',
      'more than 786432 bytes',
    ],
    ['an extension of a chunk', `${chunked}1;`, 'a', 'too-large', 'overflow'],
    ['the length of a chunk', chunked, '0', 'too-large', 'more than 786432 bytes'],
    ['trailers', `${chunked}0\r\n`, 'a: b\r\n', 'too-large', 'Header overflow'],
  ])('%s without an end', async (_what, head, unit, reason, message) => {
    const block = Buffer.from(unit.repeat(Math.ceil(65_536 / unit.length)));
    let sent = 0;
    const server = createTcpServer((socket) => {
      const pour = () => {
        while (!socket.destroyed) {
          sent += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.on('error', () => {}).on('drain', pour);
      socket.once('data', () => {
        socket.write(head);
        pour();
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const feed = readable(httpFeed, { url: `http://127.0.0.1:${port}/` });
    expect(await read(feed).catch((error) => error)).toMatchObject({
      reason,
      message: expect.stringContaining(message),
    });
    // What was in buffers on the way, ours and the system's.
    expect(sent).toBeLessThan(20_000_000);
  });

  it('takes the answer after some interim ones', async () => {
    const server = createTcpServer((socket) => {
      const answer = `${interim.repeat(10)}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`;
      socket.on('error', () => {}).once('data', () => socket.end(answer));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    expect(await read(readable(httpFeed, { url: `http://127.0.0.1:${port}/` }))).toBe('"ok"');
  });

  it('takes a large answer whole, however it is cut', async () => {
    const value = 'x'.repeat(3_000_000);
    const upstream = await Upstream.start((_request, response) => {
      for (let at = 0; at < value.length; at += 100_001) response.write(value.slice(at, at + 100_001));
      response.end();
    });
    const feed = readable(httpFeed, { url: upstream.url(), maxBytes: 3_000_000 });
    expect(JSON.parse(await read(feed))).toBe(value);
    await upstream.left();
  });
});
