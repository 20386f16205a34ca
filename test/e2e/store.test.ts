import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createBelfry } from '../../src/belfry.ts';
import { outcomeOf } from '../helpers/command.ts';
import { embedded, TOKEN as EMBEDDED_TOKEN } from './embedded.ts';
import { closingOf, visit } from './listeners.ts';
import { BELFRY, belfry, emptyFolder, fileWith, ready, type Server, start } from './process.ts';

const TOKEN = 'an-operators-token';
const env = { BELFRY_ADMIN_TOKEN: TOKEN };
const CONFIG = { store: {}, rooms: [{ match: 'lobby', history: 100 }] };

const serve = (config: string) =>
  ready(belfry(['serve', '--port', '0', '--config', config], { env }), { env });

/** From util-linux. */
const canLimit = spawnSync('prlimit', ['--version']).status === 0;

/**
 * Where a write fails, lmdb 3.5.6 formats numbers it has not set into 100 bytes. With large ones the process
 * aborts, which no code of ours can prevent.
 */
const ABORTED = 'lmdb aborted the process over its own message';

/** A write beyond so many bytes of a file fails, as on a full disk. */
function limitFiles(pid: number, bytes: string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);
}

function send({ url }: Server, data: unknown): Promise<Response> {
  return fetch(`${url}/admin/broadcast`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ rooms: 'lobby', data }),
  });
}

async function broadcast(server: Server, data: unknown): Promise<{ id: string }> {
  const response = await send(server, data);
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

  test.skipIf(!canLimit)(
    'answers 503 while its file cannot be written, and goes on afterwards',
    async ({ skip }) => {
      const server = await serve(fileWith(CONFIG));
      try {
        await broadcast(server, 'one');
        limitFiles(server.pid, '4096');
        for (let n = 0; n < 3; n++) {
          const response = await send(server, 'lost');
          expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('stored')]);
        }
        // Its background work has failed as well by then.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        limitFiles(server.pid, 'unlimited');
        await broadcast(server, 'two');
        server.child.kill('SIGTERM');
        expect(await server.ended).toBe(0);
      } catch (error) {
        server.child.kill('SIGTERM');
        skip((await server.ended) === 'SIGABRT', ABORTED);
        throw error;
      }
    },
  );

  test.skipIf(!canLimit)('says at its start why its file cannot be written', async ({ skip }) => {
    const config = fileWith(CONFIG);
    const first = await serve(config);
    first.child.kill('SIGTERM');
    await first.ended;
    const program = 'ulimit -f 4; exec "$@"';
    const command = [process.execPath, BELFRY, 'serve', '--port', '0', '--config', config];
    const second = start('bash', ['-c', program, 'bash', ...command], { env });
    const code = await second.ended;
    skip(code === 'SIGABRT', ABORTED);
    expect(code).toBe(1);
    expect(second.stderr.all.join('\n')).toContain('the file may not grow');
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

  test('gives no id twice where a backup was put back, and tells each client of a gap', async () => {
    const path = join(emptyFolder(), 'data');
    const backup = join(emptyFolder(), 'backup');
    const document = { store: { path }, rooms: CONFIG.rooms };
    const sent = async (url: string, data: string, fields = {}) => {
      const response = await fetch(`${url}/admin/broadcast`, {
        method: 'POST',
        headers: { authorization: `Bearer ${EMBEDDED_TOKEN}`, 'idempotency-key': data },
        body: JSON.stringify({ rooms: 'lobby', data, ...fields }),
      });
      const { id }: { id: string } = JSON.parse(await response.text());
      return id;
    };
    const first = await embedded(document);
    const before = [
      await sent(first.url, 'menu', { key: 'menu' }),
      await sent(first.url, 'for all', { rooms: '*', key: 'all' }),
      await sent(first.url, 'before'),
    ];
    const waiting = await sent(first.url, 'later', { in: '1h' });
    expect((await outcomeOf(['store', 'backup', backup, '--path', path])).stderr).toEqual([]);
    const given = [...before, await sent(first.url, 'lost'), await sent(first.url, 'lost too')];
    await first.belfry.stop(AbortSignal.abort());

    for (const restore of ['first', 'second']) {
      rmSync(path, { recursive: true });
      cpSync(backup, path, { recursive: true });
      const { url, admin, belfry: restored } = await embedded(document);
      for (const id of given) {
        const back = await visit(`${url}/rooms/lobby?since=${id}`);
        const { data } = await back.received.find(({ event }) => event === 'hello');
        expect(data).toMatchObject({ resumed: { lobby: false } });
      }
      // What is kept has ids of the new epoch, which resume.
      const wall = await visit(`${url}/rooms/lobby`);
      const kept = [];
      for (const data of ['menu', 'for all', 'before'])
        kept.push(await wall.received.find((event) => event.data === data));
      for (const { id } of kept) {
        const back = await visit(`${url}/rooms/lobby?since=${id}`);
        const hello = await back.received.find(({ event }) => event === 'hello');
        expect(hello.data).toMatchObject({ resumed: { lobby: true } });
      }
      expect(await sent(url, 'before')).toBe(before.at(-1));
      expect((await admin('GET', '/broadcasts')).answer.items).toMatchObject([{ id: waiting }]);
      given.push(...new Set(kept.map(({ id = '' }) => id)));
      for (const n of [1, 2, 3]) given.push(await sent(url, `${restore}-${n}`));
      expect(new Set(given).size).toBe(given.length);
      await restored.stop(AbortSignal.abort());
    }
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
