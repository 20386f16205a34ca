import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { clientFrame, handshake, RawClient } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const CLOSE = 8;
const NORMAL = Buffer.from([0x03, 0xe8]);

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ rooms: [{ match: '*', publish: 'members' }] });
});
afterAll(() => server.stop());

async function enter(room: string): Promise<RawClient> {
  const client = new RawClient(server.port).say(handshake(`/rooms/${room}`));
  await client.until('"event":"hello"');
  return client;
}

/** Close frames, and what they are answered with: 1000, and none (1005). */
const GOODBYES = [
  { payload: NORMAL, answer: Buffer.from([0x88, 2, ...NORMAL]) },
  { payload: Buffer.alloc(0), answer: Buffer.from([0x88, 0]) },
];

describe('a client that says goodbye', () => {
  it.each(GOODBYES)('gets nothing behind the close frame $answer', async ({ payload, answer }) => {
    // In one write: what it would be welcomed with is still to come when its close frame is read.
    const hello = Buffer.from(handshake('/rooms/own'));
    const client = new RawClient(server.port).say(Buffer.concat([hello, clientFrame(payload, CLOSE)]));
    await client.all();
    expect(client.bytes.subarray(-answer.length)).toEqual(answer);
  });

  it('has all it said before acted on', async () => {
    const heard: unknown[] = [];
    server.belfry.on('message', ({ data }) => heard.push(data));
    const client = await enter('many');
    const lines = [1, 2, 3, 4, 5].map((data) => clientFrame(JSON.stringify({ action: 'publish', data })));
    client.say(Buffer.concat([...lines, clientFrame(NORMAL, CLOSE)]));
    await client.all();
    await vi.waitUntil(() => heard.length >= 5);
    expect(heard).toEqual([1, 2, 3, 4, 5]);
  });

  it('has what it said before acted on also where that takes a while', async () => {
    const heard: unknown[] = [];
    server.belfry.on('message', ({ data }) => heard.push(data));
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    server.belfry.action('take-a-while', () => finished);
    const client = await enter('slow');
    const lines = [{ action: 'take-a-while' }, { action: 'publish', data: 'late' }];
    const frames = lines.map((line) => clientFrame(JSON.stringify(line)));
    client.say(Buffer.concat([...frames, clientFrame(NORMAL, CLOSE)]));
    await client.all();
    finish();
    await vi.waitUntil(() => heard.length > 0);
    expect(heard).toEqual(['late']);
  });

  it('has left its rooms at once, although it keeps its socket open', async () => {
    const client = await enter('quiet');
    const left = new Promise<void>((resolve) => {
      server.belfry.on('leave', ({ room }) => room === 'quiet' && resolve());
    });
    const saidAt = performance.now();
    client.say(clientFrame(NORMAL, CLOSE));
    await left;
    // The library would cut the socket after three seconds.
    expect(performance.now() - saidAt).toBeLessThan(2000);
    client.reset();
  });
});
