import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type ActionClient, type Belfry, createBelfry } from '../../src/belfry.ts';
import { answer, handshake, RawClient, request } from '../helpers/raw.ts';
import { embedded } from './embedded.ts';
import { stream, visit } from './listeners.ts';
import { emptyFolder, fileWith, start } from './process.ts';

const open = { rooms: [{ match: '*', publish: 'members' }] };

describe('createBelfry', () => {
  test('is a server in ten lines', async () => {
    const heard: string[] = [];
    const belfry = createBelfry({ server: { port: 0 }, ...open }, { env: {} });
    belfry.on('join', ({ room, device }) => heard.push(`${device} came into ${room}`));
    belfry.on('message', ({ room, data, from }) =>
      heard.push(`${from?.device ?? 'server'}: ${data} in ${room}`),
    );
    belfry.on('leave', ({ room, device }) => heard.push(`${device} left ${room}`));
    belfry.action('double', ({ sent }) => Number(sent.data) * 2);
    const { port } = await belfry.start();
    const visitor = await visit(`http://127.0.0.1:${port}/rooms/lobby?device=desk`);
    await belfry.publish({ target: { rooms: ['lobby'] }, data: 'hello' });
    visitor.send({ action: 'publish', data: 'thanks' });
    visitor.send({ action: 'double', ref: 'a', data: 21 });
    expect(await visitor.received.find(({ ref }) => ref === 'a')).toMatchObject({
      reply: 'double',
      data: 42,
    });
    await belfry.stop();
    expect(await visitor.over).toBe(1012);
    expect(heard).toEqual([
      'desk came into lobby',
      'server: hello in lobby',
      'desk: thanks in lobby',
      'desk left lobby',
    ]);
  });

  test('takes any number of listeners and removes each alone, also one that was given twice', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on('warning', warned);
    onTestFinished(() => void process.off('warning', warned));
    const { belfry } = await embedded({});
    const heard: unknown[] = [];
    const twice = ({ data }: { data: unknown }) => heard.push(data);
    const removals = [belfry.on('message', twice), belfry.on('message', twice)];
    for (let count = 0; count < 100; count++) {
      for (const name of ['message', 'join', 'leave'] as const) removals.push(belfry.on(name, () => {}));
    }
    await belfry.publish({ target: { rooms: ['lobby'] }, data: 'both' });
    removals[0]?.();
    removals[0]?.();
    await belfry.publish({ target: { rooms: ['lobby'] }, data: 'one' });
    for (const remove of removals) remove();
    await belfry.publish({ target: { rooms: ['lobby'] }, data: 'none' });
    expect(heard).toEqual(['both', 'both', 'one']);
    await new Promise((resolve) => setImmediate(resolve)); // warnings come in a turn of their own
    expect(warnings).toEqual([]);
  });

  test('refuses to listen to what there is not', () => {
    const belfry = createBelfry({}, { env: {} });
    // What a program without types can do.
    expect(() => belfry.on('joined' as 'join', () => {})).toThrow(
      'there is no "joined" to listen to: "message", "join" and "leave" are',
    );
  });

  test('refuses an action whose name is in use', () => {
    const belfry = createBelfry({}, { env: {} });
    expect(() => belfry.action('publish', () => null)).toThrow('action "publish" is there already');
  });

  test('hands an action what it may know of its client, as a copy', async () => {
    const { belfry, url } = await embedded(open);
    const clients: ActionClient[] = [];
    belfry.action('look', ({ client }) => void clients.push(client));
    const visitor = await visit(`${url}/rooms/lobby?device=desk`);
    visitor.send({ action: 'look', ref: 'a' });
    await visitor.received.find(({ ref }) => ref === 'a');
    const [client] = clients;
    expect(client).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}-/),
      device: 'desk',
      rooms: ['lobby'],
      remoteAddress: '127.0.0.1',
    });
  });

  test('lives on where a program changes a target after the call', async () => {
    const { belfry } = await embedded(open);
    const rooms: string[] = ['lobby'];
    const changed = belfry.publish({ target: { rooms }, data: 1 });
    // What a program without types can do.
    rooms[0] = 5 as unknown as string;
    await changed.catch(() => {});
    const { id } = await belfry.publish({ target: { rooms: ['lobby'] }, data: 2 });
    expect(id).toEqual(expect.any(String));
  });

  test('keeps no slot for a stream that the host server cannot open', async () => {
    const { belfry, url } = await embedded({ ...open, limits: { connections: 1 } });
    const socket = { writable: true, remoteAddress: '203.0.113.1' };
    const outgoing = {
      socket,
      writeHead() {
        throw new Error('its headers are sent already');
      },
    };
    const headers = { Host: '127.0.0.1', Accept: 'text/event-stream' };
    const env = { incoming: { socket }, outgoing };
    for (let asked = 0; asked < 3; asked++) {
      const answer = await belfry.fetch(new Request('http://127.0.0.1/rooms/lobby', { headers }), env);
      expect(answer.status).toBe(500);
    }
    const { received } = await visit(`${url}/rooms/lobby`);
    expect(await received.find(({ event }) => event === 'hello')).toBeDefined();
  });

  test('answers an action that throws with 500, and goes on for all', async () => {
    const { belfry, url } = await embedded(open);
    belfry.action('fall', () => {
      throw new Error('a secret of the house');
    });
    const visitor = await visit(`${url}/rooms/lobby`);
    visitor.send({ action: 'fall', ref: 1 });
    const { error } = await visitor.received.find(({ ref }) => ref === 1);
    expect(error?.status).toBe(500);
    expect(JSON.stringify(error)).not.toContain('secret');
    visitor.send({ action: 'ping', ref: 2 });
    await visitor.received.find(({ ref }) => ref === 2);
  });

  test('rejects start where the port is in use, with the error of Node', async () => {
    const { url } = await embedded({});
    const second = createBelfry({ server: { port: Number(new URL(url).port) } }, { env: {} });
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.stop();
  });

  test('works inside another HTTP server', async () => {
    const belfry = createBelfry(open, { env: {} });
    const { port } = await hostOf(belfry);
    const url = `http://127.0.0.1:${port}`;
    await belfry.run();
    expect(await (await fetch(`${url}/mine`)).text()).toBe('my own');
    const visitors = [await visit(`${url}/rooms/lobby`), await stream(`${url}/rooms/lobby`)];
    await visitors[1]?.received.find(({ event }) => event === 'hello');
    await belfry.publish({ data: 'hello' });
    for (const { received } of visitors) {
      expect((await received.find(({ event }) => event === 'message')).data).toBe('hello');
    }
  });

  test('answers HEAD of a refusal in another program with the headers of GET', async () => {
    const belfry = createBelfry({}, { env: {} });
    const { port } = await hostOf(belfry);
    await belfry.run();
    const headers = { Accept: 'application/json', Connection: 'close' };
    for (const method of ['GET', 'HEAD']) {
      const refused = answer(await new RawClient(port).say(request('/rooms/-', headers, method)).all());
      expect(refused.status).toBe(400);
      expect(refused.headers.get('vary')).toBe('Accept, Origin');
    }
  });

  test('closes refused upgrades on the server of another program with stop', async () => {
    const belfry = createBelfry({ server: { drainSeconds: 0 } }, { env: {} });
    const { port, sockets } = await hostOf(belfry);
    await belfry.run();
    const client = new RawClient(port);
    onTestFinished(() => void client.socket.destroy());
    await client.say(handshake('/rooms/-')).until('400');
    expect(sockets.size).toBe(1);
    await belfry.stop();
    expect(sockets.size).toBe(0);
  });

  test('leaves nothing running after stop: the program ends by itself', async () => {
    const module = new URL('../../dist/server.js', import.meta.url).href;
    const program = `
      import { createBelfry } from ${JSON.stringify(module)};
      const schedules = [{ name: 'clock', every: '100ms', feed: { type: 'time' } }];
      const belfry = createBelfry({ server: { port: 0 }, schedules }, { env: {} });
      const { port } = await belfry.start();
      await fetch('http://127.0.0.1:' + port + '/rooms/lobby', { headers: { accept: 'application/json' } });
      await belfry.stop();
      console.log('stopped');`;
    const running = start(process.execPath, [fileWith(program, 'program.mjs')], { cwd: emptyFolder() });
    await running.stdout.find((line) => line === 'stopped');
    expect(await running.ended).toBe(0);
    expect(running.stderr.all).toEqual([]);
  });
});

/** Puts a server into that of another program; `sockets` are those that are open there. */
async function hostOf(belfry: Belfry): Promise<{ port: number; sockets: Set<Socket> }> {
  onTestFinished(() => belfry.stop(AbortSignal.abort()));
  // The adapter puts classes of its own in their place, also for the tests that come after.
  vi.stubGlobal('Request', Request);
  vi.stubGlobal('Response', Response);
  onTestFinished(() => void vi.unstubAllGlobals());
  const own = getRequestListener((request, env) => {
    if (new URL(request.url).pathname === '/mine') return new Response('my own');
    // This server speaks HTTP/1 only.
    return belfry.fetch(request, env as HttpBindings);
  });
  const server = createServer(own).on('upgrade', belfry.upgrade);
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  onTestFinished(() => void server.closeAllConnections());
  onTestFinished(() => void server.close());
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address !== null && typeof address === 'object') resolve(address.port);
    });
  });
  return { port, sockets };
}
