import { serve } from '@hono/node-server';
import { createNodeWebSocket } from '@hono/node-ws';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { WSContext } from 'hono/ws';
import { Rooms, serveBaseline } from './baseline.ts';

/** What one would write in an afternoon with the libraries that Belfry uses: a `send` to each subscriber. */
const rooms = new Rooms<(text: string) => unknown>();

function listen(): Promise<number> {
  const app = new Hono();
  const { injectWebSocket, upgradeWebSocket } = createNodeWebSocket({ app });
  app.get(
    '/rooms/:room',
    upgradeWebSocket((c) => {
      let leave = () => {};
      return {
        onOpen(_event, socket: WSContext) {
          leave = rooms.join(c.req.param('room') ?? '', (text) => socket.send(text));
        },
        onClose: () => leave(),
      };
    }),
    (c) =>
      streamSSE(c, async (stream) => {
        const leave = rooms.join(c.req.param('room'), (data) => stream.writeSSE({ data }));
        await new Promise<void>((resolve) => stream.onAbort(resolve));
        leave();
      }),
  );
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port));
    injectWebSocket(server);
  });
}

serveBaseline(listen, rooms, (text, subscribers) => {
  for (const send of subscribers) send(text);
});
