import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type MakeOwner,
  type OwnedWebSocket,
  type WebSocketOwner,
  websocketUpgrades,
} from '../../src/transport/node-ws.ts';
import { handshake, RawClient } from '../helpers/raw.ts';
import { frame } from '../hostile/ask.ts';

/** An owner that does nothing but what it is given. */
function owner(websocket: OwnedWebSocket, own: Partial<WebSocketOwner>): WebSocketOwner {
  const nothing = () => {};
  const all = { onMessage: nothing, onPing: nothing, onPong: nothing };
  const owner = { ...all, onFault: nothing, onClosing: nothing, onClose: nothing, ...own };
  websocket.ownedBy(owner);
  return owner;
}

/** A server whose WebSockets get these owners. */
function serve(own: MakeOwner): Server {
  const settings = { current: { limits: { maxPayloadBytes: 16_384 } } };
  const onFault = (what: string, error: unknown) => {
    throw new Error(what, { cause: error });
  };
  const open = websocketUpgrades({ settings, onFault }, own);
  const slot = { release() {} };
  const entry = {
    rooms: [],
    peer: { remoteAddress: '' },
    since: undefined,
    slot,
    reservation: slot,
  };
  return createServer().on('upgrade', (request, socket, head) => open({ request, socket, head, entry }));
}

describe('what comes in one read', () => {
  let server: Server;
  afterEach(() => server.close());

  it.each([
    ['onPing', frame({ opcode: 9 })],
    ['onPong', frame({ opcode: 10, payload: 'p' })],
    ['onMessage', frame({ payload: '{}' })],
    ['onMessage', Buffer.concat([frame({ payload: '{}', fin: false }), frame({ opcode: 0 })])],
  ])('is taken apart over as many turns, so that others have theirs: a %s of %j', async (event, bytes) => {
    const sent = 1000;
    let heard = 0;
    let inTurn = 0;
    let most = 0;
    server = serve((websocket) => {
      const hear = () => {
        heard++;
        if (++inTurn === 1) setImmediate(() => (inTurn = 0));
        most = Math.max(most, inTurn);
        if (heard === sent) websocket.terminate();
      };
      return owner(websocket, { [event]: hear });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const client = new RawClient(typeof address === 'object' && address ? address.port : 0);
    await client.say(handshake()).until('\r\n\r\n');
    client.say(Buffer.concat(Array<Buffer>(sent).fill(bytes)));
    await client.closed;
    client.reset();
    expect(heard).toBe(sent);
    expect(most).toBe(1);
    // No pong left by itself: whether one is worth an answer is for the session to say.
    expect(client.heard.split('\r\n\r\n')[1]).toBe('');
  });
});

it('ends the connection alone where the library fails to take a frame apart', async () => {
  let closed = 0;
  const server = serve((websocket) => {
    // As it was seen once; the parser is not in the library's types.
    Object.assign(Reflect.get(websocket, '_receiver'), {
      getInfo() {
        throw new TypeError("Cannot read properties of undefined (reading '0')");
      },
    });
    return owner(websocket, { onClose: () => void closed++ });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const client = new RawClient(typeof address === 'object' && address ? address.port : 0);
  await client.say(handshake()).until('\r\n\r\n');
  client.say(frame({ payload: '{}' }));
  await client.closed;
  client.socket.destroy();
  await expect.poll(() => closed).toBe(1);
  server.close();
});
