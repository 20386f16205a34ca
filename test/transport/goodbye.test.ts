import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientFrame, handshake, RawClient } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const CLOSE = 8;
const NORMAL = Buffer.from([0x03, 0xe8]);
/** What the server answers a close frame of 1000 with. */
const GOODBYE = Buffer.from([0x88, 2, ...NORMAL]);

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

describe('a client that says goodbye', () => {
  it('gets nothing behind the close frame, not even what it has published itself', async () => {
    const client = await enter('own');
    const lines = [1, 2].map((data) => clientFrame(JSON.stringify({ action: 'publish', data })));
    client.say(Buffer.concat([...lines, clientFrame(NORMAL, CLOSE)]));
    await client.until(GOODBYE.toString('latin1'));
    await server.belfry.publish({ target: { rooms: ['own'] }, data: 'later' });
    await client.all();
    expect(client.bytes.subarray(-GOODBYE.length)).toEqual(GOODBYE);
  });

  it('has left its rooms at once, although it keeps its socket open', async () => {
    const left = new Promise<string>((resolve) => {
      server.belfry.on('leave', ({ room }) => resolve(room));
    });
    const client = await enter('quiet');
    client.say(clientFrame(NORMAL, CLOSE));
    expect(await left).toBe('quiet');
    expect(client.socket.destroyed).toBe(false);
    client.reset();
  });
});
