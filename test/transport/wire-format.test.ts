import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Writable } from 'node:stream';
import { EventSource } from 'eventsource';
import { afterEach, describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { retryField, sseFormat } from '../../src/transport/sse.ts';
import { websocketFormat } from '../../src/transport/websocket.ts';

describe('websocketFormat', () => {
  it.each([
    [0, '8100'],
    [125, '817d'],
    [126, '817e007e'],
    [65_535, '817effff'],
    [65_536, '817f0000000000010000'],
  ])('begins %i bytes with %s', (length, head) => {
    const frame = websocketFormat.encode('x'.repeat(length));
    expect(frame.subarray(0, head.length / 2).toString('hex')).toBe(head);
    expect(frame.length).toBe(head.length / 2 + length);
    expect(frame.subarray(head.length / 2).toString()).toBe('x'.repeat(length));
  });

  it('counts bytes, not characters, and makes lone surrogates valid UTF-8', () => {
    expect(websocketFormat.encode('é€🔔').toString('hex')).toBe('8109c3a9e282acf09f9494');
    expect(websocketFormat.encode('\ud83d').toString('hex')).toBe('8103efbfbd');
  });

  it('is read back by ws, several in one write', async () => {
    const texts = [0, 125, 126, 65_535, 65_536].map((length) => 'é'.repeat(length));
    const read: string[] = [];
    // The types of ws leave its receiver out.
    const { Receiver } = ws as unknown as { Receiver: new () => Writable };
    const receiver = new Receiver();
    receiver.on('message', (data: Buffer) => read.push(data.toString()));
    receiver.write(Buffer.concat(texts.map((text) => websocketFormat.encode(text))));
    await new Promise<void>((resolve) => receiver.end(resolve));
    expect(read).toEqual(texts);
  });
});

describe('sseFormat', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  it.each([
    ['{"a":1}', undefined, 'data: {"a":1}\n\n'],
    ['{"a":1}', 'k3-7', 'id: k3-7\ndata: {"a":1}\n\n'],
    ['one\ntwo', undefined, 'data: one\ndata: two\n\n'],
    ['one\r\ntwo\rthree\n', 'k3-8', 'id: k3-8\ndata: one\ndata: two\ndata: three\ndata: \n\n'],
    ['', undefined, 'data: \n\n'],
  ])('writes %j with id %j byte by byte', (text, id, bytes) => {
    expect(sseFormat.encode(text, id).toString()).toBe(bytes);
  });

  it('is read back by an EventSource, several in one write', async () => {
    server = createServer((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(
        Buffer.concat([
          Buffer.from(retryField(1234.5)),
          sseFormat.encode('one\ntwo', 'k3-1'),
          sseFormat.encode('{"text":"é🔔"}'),
        ]),
      );
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // it listens on TCP
    const source = new EventSource(`http://127.0.0.1:${port}`);
    const read: string[] = [];
    let firstId = '';
    await new Promise<void>((resolve) => {
      source.onmessage = ({ data, lastEventId }) => {
        firstId ||= lastEventId;
        if (read.push(data) === 2) resolve();
      };
    });
    source.close();
    expect(read).toEqual(['one\ntwo', '{"text":"é🔔"}']);
    expect(firstId).toBe('k3-1');
  });
});

describe('retryField', () => {
  it('is a whole number of milliseconds, never earlier', () => {
    expect(retryField(1234.2)).toBe('retry: 1235\n\n');
  });
});
