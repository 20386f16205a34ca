import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { startServer } from '../helpers/server.ts';

/** Clients that others generate from openapi.yaml: they compile with our compiler, and talk to a server. */

const run = promisify(execFile);
const path = (from: string) => fileURLToPath(new URL(`../../${from}`, import.meta.url));
const OPENAPI = path('openapi.yaml');

/** What each program does, in the words of its client: publish `{"data":"hi"}`, and look. */
const FETCHING = `
  import createClient from 'openapi-fetch';
  import type { paths } from './generated.js';

  const [, , baseUrl = '', token = ''] = process.argv;
  const client = createClient<paths>({ baseUrl, headers: { Authorization: 'Bearer ' + token } });
  const sent = await client.POST('/admin/broadcast', { body: { data: 'hi' } });
  const time = await client.GET('/time');
  const query = { slow: false };
  const connections = await client.GET('/admin/connections', { params: { query } });
  const wrong = await client.GET('/admin/rooms/{room}', { params: { path: { room: '-' } } });
  const id: string | null | undefined = sent.data?.id;
  const t0: number | null | undefined = time.data?.t0;
  const devices = connections.data?.items.map(({ device }) => device);
  const detail: string | undefined = wrong.error?.detail;
  const reached = sent.data && 'connections' in sent.data ? sent.data.connections : undefined;
  console.log(JSON.stringify({ id: typeof id, reached, t0, devices, detail }));
`;
const CALLING = `
  import * as belfry from './generated.js';

  const [, , baseUrl = '', token = ''] = process.argv;
  belfry.defaults.baseUrl = baseUrl;
  belfry.defaults.headers = { Authorization: 'Bearer ' + token };
  const sent = await belfry.broadcast({ data: 'hi' });
  const time = await belfry.time();
  const connections = await belfry.listConnections({ slow: false });
  const wrong = await belfry.getRoom('-');
  if (sent.status !== 200 || time.status !== 200 || connections.status !== 200 || wrong.status !== 400)
    throw new Error('another status');
  const id: string | null = sent.data.id;
  const t0: number | null = time.data.t0;
  const devices = connections.data.items.map(({ device }) => device);
  const detail: string = wrong.data.detail;
  console.log(JSON.stringify({ id: typeof id, reached: sent.data.connections, t0, devices, detail }));
`;

const COMPILER = {
  compilerOptions: {
    strict: true,
    target: 'es2023',
    lib: ['es2023', 'dom', 'dom.iterable'],
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
    rootDir: '.',
    outDir: 'out',
  },
  include: ['*.ts'],
};

test.each([
  ['openapi-typescript', 'test/clients/node_modules/openapi-typescript/bin/cli.js', ['-o'], FETCHING],
  ['oazapfts', 'node_modules/oazapfts/dist/cli.js', [], CALLING],
])(
  'a client of %s compiles and sends {"data":"hi"}',
  async (_, generator, into, program) => {
    const folder = mkdtempSync(join(tmpdir(), 'belfry-client-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    symlinkSync(path('node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(COMPILER));
    writeFileSync(join(folder, 'program.ts'), program);
    mkdirSync(join(folder, 'out'));
    const inFolder = { cwd: folder, encoding: 'utf8' } as const;
    await run(process.execPath, [path(generator), OPENAPI, ...into, 'generated.ts'], inFolder);
    const compiled = run(process.execPath, [path('node_modules/typescript/bin/tsc')], inFolder);
    expect(await compiled.catch(({ stdout }) => ({ stdout, stderr: '' }))).toEqual({
      stdout: '',
      stderr: '',
    });

    const server = await startServer();
    onTestFinished(() => server.stop());
    const guest = new SocketGuest(`${server.url}/rooms/lobby?device=wall-3`);
    onTestFinished(() => guest.socket.terminate());
    await guest.event('hello');
    const { stdout } = await run(
      process.execPath,
      ['out/program.js', server.url, server.belfry.madeToken ?? ''],
      inFolder,
    );
    expect((await guest.event('message')).data).toBe('hi');
    expect(JSON.parse(stdout)).toMatchObject({
      id: 'string',
      reached: 1,
      t0: null,
      devices: ['wall-3'],
      detail: expect.stringContaining('"-" is not a room name'),
    });
  },
  60_000,
);
