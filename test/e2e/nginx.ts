import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { vi } from 'vitest';
import { PATIENCE } from '../feed/upstream.ts';
import { requireTool } from '../helpers/browser.ts';
import { emptyFolder, type Running, start } from './process.ts';

/** Elsewhere than on Linux `127.0.0.2` is not an address of every machine. */
export const NGINX = process.platform === 'linux' ? requireTool('nginx') : undefined;

const PAGE = readFileSync(new URL('../../docs/proxies.md', import.meta.url), 'utf8');

/** The lines that docs/proxies.md tells to write. */
export const DOCUMENTED = /^```nginx\n([\s\S]*?)^```$/m.exec(PAGE)?.[1] ?? '';

/** Starts nginx on this port, with these lines; it is gone when the test is over. */
export async function startNginx(port: number, lines: string): Promise<void> {
  const folder = emptyFolder();
  mkdirSync(join(folder, 'logs'));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const config = `
    daemon off; master_process off; pid ${folder}/pid; error_log stderr crit;
    events { worker_connections 16000; }
    http { access_log off; ${temporary.join(' ')}
      server { listen 127.0.0.1:${port} backlog=4096; ${lines} } }`;
  writeFileSync(join(folder, 'nginx.conf'), config);
  await listening('nginx', start(NGINX ?? '', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr']), port);
}

/** Waits until a proxy that was started on this port answers, whatever it says. */
export async function listening(name: string, running: Running, port: number): Promise<void> {
  let code: number | string | undefined;
  void running.ended.then((ended) => {
    code = ended;
  });
  await vi.waitUntil(async () => {
    if (code !== undefined) throw new Error(`${name} ended with ${code}: ${running.stderr.all.join('\n')}`);
    return fetch(`http://127.0.0.1:${port}/livez`).then(
      () => true,
      () => false,
    );
  }, PATIENCE);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  server.close();
  await once(server, 'close');
  return address.port;
}
