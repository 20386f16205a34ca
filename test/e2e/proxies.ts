import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { requireTool } from '../helpers/browser.ts';
import { DOCUMENTED, listening, NGINX, startNginx } from './nginx.ts';
import { fileWith, start } from './process.ts';

/** A reverse proxy that docs/proxies.md has lines for. */
export interface ReverseProxy {
  readonly name: string;
  /** Whether it is installed. */
  readonly isHere: boolean;
  /** Starts it on this port with those lines, before the server at `host`; it is gone when the test is over. */
  start(port: number, host: string): Promise<void>;
}

const PAGE = readFileSync(new URL('../../docs/proxies.md', import.meta.url), 'utf8');
/** As with nginx, some tests use an address that other systems do not have. */
const isLinux = process.platform === 'linux';
const HAPROXY = isLinux ? requireTool('haproxy') : undefined;
const CADDY = isLinux ? requireTool('caddy') : undefined;

export const PROXIES: readonly ReverseProxy[] = [
  {
    name: 'nginx',
    isHere: NGINX !== undefined,
    start: (port, host) => startNginx(port, before(host, DOCUMENTED)),
  },
  {
    name: 'HAProxy',
    isHere: HAPROXY !== undefined,
    async start(port, host) {
      const lines = before(host, documented('haproxy')).replace('bind :80', `bind 127.0.0.1:${port}`);
      await listening('haproxy', start(HAPROXY ?? '', ['-db', '-f', fileWith(lines, 'haproxy.cfg')]), port);
    },
  },
  {
    name: 'Caddy',
    isHere: CADDY !== undefined,
    async start(port, host) {
      const site = `http://:${port} {\n\tbind 127.0.0.1`;
      const lines = before(host, documented('caddyfile')).replace('wall.example.com {', site);
      const path = fileWith(`{\n\tadmin off\n}\n${lines}`, 'Caddyfile');
      const args = ['run', '--config', path, '--adapter', 'caddyfile'];
      // It keeps its state there.
      await listening('caddy', start(CADDY ?? '', args, { env: { HOME: dirname(path) } }), port);
    },
  },
];

function documented(kind: string): string {
  return new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(PAGE)?.[1] ?? '';
}

function before(host: string, lines: string): string {
  return lines.replaceAll('127.0.0.1:8080', host);
}
