import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createBelfry } from '../../src/belfry.ts';
import { outcomeOf } from '../helpers/command.ts';
import { embedded } from './embedded.ts';
import { closingOf, visit } from './listeners.ts';
import { belfry, emptyFolder, fileWith, ready, type Server } from './process.ts';

const TOKEN = 'an-operators-token';
const env = { BELFRY_ADMIN_TOKEN: TOKEN };
const CONFIG = { store: {}, rooms: [{ match: 'lobby', history: 100 }] };

const serve = (config: string) =>
  ready(belfry(['serve', '--port', '0', '--config', config], { env }), { env });

async function broadcast({ url }: Server, data: unknown): Promise<{ id: string }> {
  const response = await fetch(`${url}/admin/broadcast`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ rooms: 'lobby', data }),
  });
  expect(response.status).toBe(200);
  return JSON.parse(await response.text());
}

async function lobby({ url }: Server, query = '') {
  const response = await fetch(`${url}/rooms/lobby${query}`, { headers: { accept: 'application/json' } });
  const answer: { events: { id: string; data: unknown }[]; resumed: boolean | null } = JSON.parse(
    await response.text(),
  );
  return answer;
}

describe('a server with a store', () => {
  test('has its messages with their ids after it was killed, and gives no id twice', async () => {
    const config = fileWith(CONFIG);
    let server = await serve(config);
    const first = await broadcast(server, 'one');
    const second = await broadcast(server, 'two');
    server.child.kill('SIGKILL');
    await server.ended;
    server = await serve(config);
    const third = await broadcast(server, 'three');
    expect((await lobby(server)).events).toMatchObject([
      { id: first.id, data: 'one' },
      { id: second.id, data: 'two' },
      { id: third.id, data: 'three' },
    ]);
    expect(new Set([first.id, second.id, third.id]).size).toBe(3);
    expect(first.id.split('-')[0]).toBe(third.id.split('-')[0]);
    const { events, resumed } = await lobby(server, `?since=${second.id}`);
    expect([resumed, events.map(({ data }) => data)]).toEqual([true, ['three']]);
    expect(existsSync(join(dirname(config), 'belfry-data'))).toBe(true);
  });

  test('goes on after a stop where it was: the ids have no hole', async () => {
    const config = fileWith(CONFIG);
    let server = await serve(config);
    const first = await broadcast(server, 'one');
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    server = await serve(config);
    const second = await broadcast(server, 'two');
    expect(second.id).toBe(first.id.replace(/-1$/, '-2'));
  });

  test('gives a client that comes back after a restart what it missed', async () => {
    const document = { store: { path: emptyFolder() }, rooms: CONFIG.rooms };
    const before = await embedded(document);
    const { belfry: old } = before;
    await old.publish({ target: { rooms: ['lobby'] }, data: 'seen' });
    const wall = await visit(`${before.url}/rooms/lobby`);
    const seen = await wall.received.find(({ data }) => data === 'seen');
    const stopped = old.stop();
    expect((await closingOf(wall)).code).toBe(1012);
    await stopped;
    const { url, belfry: next } = await embedded(document);
    await next.publish({ target: { rooms: ['lobby'] }, data: 'missed' });
    const back = await visit(`${url}/rooms/lobby?since=${seen.id}`);
    const hello = await back.received.find(({ event }) => event === 'hello');
    expect(hello.data).toMatchObject({ resumed: { lobby: true } });
    expect(await back.received.find(({ data }) => data === 'missed')).toMatchObject({ replay: true });
    expect(back.received.all.some(({ data }) => data === 'seen')).toBe(false);
  });

  test('refuses a second one on its folder, and names the folder and the process', async () => {
    const config = fileWith(CONFIG);
    const server = await serve(config);
    const second = belfry(['serve', '--port', '0', '--config', config], { env });
    expect(await second.ended).toBe(1);
    const folder = join(dirname(config), 'belfry-data');
    expect(second.stderr.all).toEqual([
      expect.stringMatching(
        `^the store in ${folder} is in use by process ${server.pid}, since .*: stop that one, or choose another folder with store.path$`,
      ),
    ]);
    expect((await lobby(server)).events).toEqual([]);
  });

  test('can be started again where its start failed', async () => {
    const document = { store: { path: emptyFolder() }, server: { port: 0 } };
    const first = createBelfry(document);
    await first.start();
    const second = createBelfry(document);
    await expect(second.start()).rejects.toThrow('in use by another server of this process');
    await first.stop();
    await second.start();
    await second.stop();
  });

  test('is named by belfry check', async () => {
    const config = fileWith({ store: { maxBytes: 50_000_000 } });
    const { stdout } = await outcomeOf(['check', config]);
    expect(stdout.at(-1)).toBe(`store: at most 48 MiB in ${join(dirname(config), 'belfry-data')}`);
  });
});
