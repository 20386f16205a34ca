import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type OriginRules, Origins } from '../../src/access/origins.ts';
import { Refusal } from '../../src/hub/errors.ts';

const rules = (more: Partial<OriginRules> = {}): OriginRules => ({
  host: '127.0.0.1',
  allowedOrigins: [],
  ...more,
});

/** The status of what `what` throws, 200 where it throws nothing. */
function status(what: () => void): number {
  try {
    what();
    return 200;
  } catch (error) {
    if (error instanceof Refusal) return error.status;
    throw error;
  }
}

const publicUrl = 'https://wall.example.com';

/** A request with these headers. */
const asking = (headers: Record<string, string | undefined>) => ({ header: (name: string) => headers[name] });

describe('Origins', () => {
  describe('checkHost', () => {
    it.each([
      ['127.0.0.1', 'localhost', 200],
      ['127.0.0.1', 'localhost:8080', 200],
      ['127.0.0.1', 'LocalHost:8080', 200],
      ['127.0.0.1', '127.0.0.1:1', 200],
      ['127.0.0.1', '[::1]:8080', 200],
      ['127.0.0.1', '[::1]', 200],
      ['::1', 'localhost:8080', 200],
      ['::ffff:127.0.0.1', 'evil.example:8080', 421],
      ['127.8.8.8', 'evil.example', 421],
      ['localhost', 'evil.example', 421],
      ['127.0.0.1', 'evil.example:8080', 421],
      ['127.0.0.1', 'localhost.evil.example', 421],
      ['127.0.0.1', 'localhost@evil.example', 421],
      ['127.0.0.1', '127.0.0.1.evil.example', 421],
      ['127.0.0.1', '::1', 421],
      ['127.0.0.1', '0.0.0.0:8080', 421],
      ['127.0.0.1', '', 421],
      ['127.0.0.1', undefined, 421],
    ])('listening on %s, the host %j is answered with %i', (host, header, expected) => {
      const origins = new Origins(rules({ host }));
      expect(status(() => origins.checkHost(asking({ host: header })))).toBe(expected);
    });

    it.each([
      ['wall.example.com', 200],
      ['WALL.example.com', 200],
      ['wall.example.com:443', 200],
      ['wall.example.com:80', 421],
      ['localhost:8080', 200],
      ['other.example.com', 421],
      ['wall.example.com.evil', 421],
      ['a b', 421],
    ])('with a public URL the host %j is answered with %i', (header, expected) => {
      const origins = new Origins(rules({ publicUrl }));
      expect(status(() => origins.checkHost(asking({ host: header })))).toBe(expected);
    });

    it('names the host and the key to set', () => {
      const check = () => new Origins(rules()).checkHost(asking({ host: 'evil.example' }));
      expect(check).toThrow(/"evil\.example".*set server\.publicUrl/);
    });

    const open = { host: '0.0.0.0', machine: 'Wall7.corp.example' };
    const chromium = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64)', 'accept-language': 'en-US,en;q=0.9' };
    const browsers = {
      'a page that reads from its own origin over HTTP': chromium,
      'a script that hides what it can': { 'user-agent': 'curl/8', 'accept-language': '' },
      'a page that opens a WebSocket': { ...chromium, origin: 'http://evil.example' },
      'a page behind a proxy with TLS': { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' },
      'a script that calls itself Node': { 'user-agent': 'node', 'accept-language': '*' },
      'a page that calls itself Node behind a proxy': {
        'user-agent': 'node',
        'sec-fetch-site': 'same-origin',
        'sec-fetch-mode': 'cors',
      },
      'an old browser': { 'user-agent': 'Mozilla/5.0 (SMART-TV; Tizen 2.4)' },
    };
    const hosts: [string | undefined, boolean][] = [
      ['10.0.0.5:8080', true],
      ['127.0.0.1', true],
      ['[fd00::5]:8080', true],
      ['[::1]', true],
      ['localhost:8080', true],
      ['wall7', true],
      ['WALL7.corp.example:8080', true],
      ['wall7.local:8080', true],
      ['evil.example:8080', false],
      ['wall7.evil.example', false],
      ['corp.example', false],
      ['wall8', false],
      ['10.0.0.5.evil.example', false],
      ['10.0.0', false],
      ['0x7f.1', false],
      ['fd00::5', false],
      ['[evil.example]', false],
      ['localhost@evil.example', false],
      ['localhost.evil.example', false],
      ['', false],
      [undefined, false],
    ];
    describe.each(['0.0.0.0', '::', '192.168.1.4'])('listening on %s', (host) => {
      const origins = new Origins(rules({ ...open, host }));
      describe.each(Object.entries(browsers))('%s', (_, headers) => {
        it.each(hosts)('is answered at the host %j: %s', (name, isOwn) => {
          const request = asking({ ...headers, host: name });
          expect(status(() => origins.checkHost(request))).toBe(isOwn ? 200 : 421);
        });
      });

      it.each([
        ['curl', { 'user-agent': 'curl/8.5.0' }],
        ['a probe', { 'user-agent': 'kube-probe/1.31' }],
        ['Prometheus', { 'user-agent': 'Prometheus/3.1', 'accept-encoding': 'gzip' }],
        ['fetch of Node', { 'user-agent': 'node', 'accept-language': '*', 'sec-fetch-mode': 'cors' }],
        ['a program without headers', {}],
      ])('%s is answered at any host', (_, headers) => {
        for (const [name] of hosts)
          expect(status(() => origins.checkHost(asking({ ...headers, host: name })))).toBe(200);
      });
    });

    it.each([
      [{ ...open, publicUrl }, 'wall.example.com', 200],
      [{ ...open, publicUrl }, 'WALL.example.com:443', 200],
      [{ ...open, publicUrl }, '10.0.0.5:8080', 200],
      [{ ...open, publicUrl }, 'evil.example', 421],
      [{ ...open, host: 'wall.corp.example' }, 'Wall.corp.example:8080', 200],
      [{ ...open, allowedOrigins: ['*'] }, 'evil.example', 421],
      [{ ...open, machine: '' }, '', 421],
    ])('with %j a browser is answered at the host %j with %i', (more, host, expected) => {
      const origins = new Origins(rules(more));
      expect(status(() => origins.checkHost(asking({ ...chromium, host })))).toBe(expected);
    });

    it.each([
      [
        open,
        'use its IP address or the name of its machine, or set server.publicUrl to the address that the',
      ],
      [{ ...open, publicUrl }, 'or the address in server.publicUrl; a proxy has to pass on Host'],
    ])('with %j tells what to do, and no name of the machine', (more, advice) => {
      const check = () => new Origins(rules(more)).checkHost(asking({ ...chromium, host: 'evil.example' }));
      expect(check).toThrow(advice);
      expect(check).not.toThrow(/wall/i);
    });

    it('takes the name of this machine from the operating system', () => {
      const origins = new Origins(rules({ host: '0.0.0.0' }));
      expect(status(() => origins.checkHost(asking({ ...chromium, host: `${hostname()}:8080` })))).toBe(200);
    });
  });

  describe('check', () => {
    it.each([
      // [rules, Origin, Host, status]
      [{}, undefined, 'localhost:8080', 200],
      [{}, 'http://localhost:8080', 'localhost:8080', 200],
      [{}, 'http://localhost:8080', 'LOCALHOST:8080', 200],
      [{}, 'http://[::1]:8080', '[::1]:8080', 200],
      [{}, 'http://localhost', 'localhost', 200],
      [{}, 'http://localhost:8081', 'localhost:8080', 403],
      [{}, 'http://127.0.0.1:8080', 'localhost:8080', 403],
      [{}, 'https://localhost:8080', 'localhost:8080', 403],
      [{}, 'http://localhost:8080/', 'localhost:8080', 403],
      [{}, 'null', 'localhost:8080', 403],
      [{}, 'file://', 'localhost:8080', 403],
      [{}, '', 'localhost:8080', 403],
      [{}, 'http://undefined', undefined, 403],
      [{ host: '0.0.0.0' }, 'http://10.0.0.5:8080', '10.0.0.5:8080', 200],
      [{ host: '0.0.0.0' }, 'http://evil.example', '10.0.0.5:8080', 403],
      [{ publicUrl }, 'https://wall.example.com', 'wall.example.com', 200],
      [{ publicUrl }, 'https://wall.example.com', 'localhost:8080', 200],
      [{ publicUrl }, 'http://wall.example.com', 'wall.example.com', 403],
      [{ publicUrl }, 'http://localhost:8080', 'localhost:8080', 200],
      [{ publicUrl, host: '0.0.0.0' }, 'http://10.0.0.5', '10.0.0.5', 403],
      [{ allowedOrigins: ['https://a.example'] }, 'https://a.example', 'localhost', 200],
      [{ allowedOrigins: ['https://a.example'] }, 'https://a.example:8443', 'localhost', 403],
      [{ allowedOrigins: ['https://a.example'] }, 'http://a.example', 'localhost', 403],
      [{ allowedOrigins: ['https://a.example'] }, 'https://b.a.example', 'localhost', 403],
      [{ allowedOrigins: ['https://a.example'] }, 'https://a.example, https://a.example', 'localhost', 403],
      [{ allowedOrigins: ['null'] }, 'null', 'localhost', 200],
      [{ allowedOrigins: ['null'] }, 'file://', 'localhost', 403],
      [{ allowedOrigins: ['file://'] }, 'file://', 'localhost', 200],
      [{ allowedOrigins: ['file://'] }, 'null', 'localhost', 403],
      [{ allowedOrigins: ['*'] }, 'https://anybody.example', 'localhost', 200],
      [{ allowedOrigins: ['*'] }, 'null', 'localhost', 200],
    ])('with %j the origin %j at host %j is answered with %i', (more, origin, host, expected) => {
      const origins = new Origins(rules(more));
      expect(status(() => origins.check(origin, host))).toBe(expected);
      const readable = origins.readableBy(origin, 'localhost');
      if (host === 'localhost') expect(readable).toBe(expected === 200 ? origin : undefined);
    });

    it('names the origin and both keys', () => {
      const check = () => new Origins(rules()).check('https://x', 'localhost');
      expect(check).toThrow(
        'origin "https://x" is not allowed: add it to server.allowedOrigins, ' +
          'or set server.publicUrl if it is this server behind a proxy',
      );
    });

    it.each(['null', 'file://'])(
      'tells a page opened from disk, which comes as %j, both its names',
      (origin) => {
        const check = () => new Origins(rules()).check(origin, 'localhost');
        expect(check).toThrow(/add it to server\.allowedOrigins .*"null".*"file:\/\/"/);
      },
    );

    it('repeats only the beginning of an origin', () => {
      const check = () => new Origins(rules()).check('x'.repeat(16_000), 'localhost');
      expect(check).toThrow(/^.{1,400}$/);
    });
  });

  describe('frameAncestors', () => {
    const wall = 'https://wall.example';
    const both = ['null', 'file://', wall, 'https://secret.example'];
    it.each<[string[], string | undefined, string]>([
      [[], undefined, "'self'"],
      [[], 'https://evil.example/page', "'self'"],
      [both, undefined, "'self' file:"],
      [both, 'https://evil.example/', "'self' file:"],
      [both, `${wall}/`, `'self' file: ${wall}`],
      [both, `${wall}:8443/`, "'self' file:"],
      [both, 'about:blank', "'self' file:"],
      [[wall], `${wall}/a;b 'unsafe-inline'`, `'self' ${wall}`],
      [[wall], '', "'self'"],
      [[wall], 'not an address', "'self'"],
      [['*'], undefined, "'self' * file:"],
    ])('of %j names for the referrer %j only: %s', (allowedOrigins, referrer, expected) => {
      expect(new Origins(rules({ allowedOrigins })).frameAncestors(referrer)).toBe(expected);
    });
  });

  it.each(['127.0.0.1', '0.0.0.0'])(
    'lets no page read an answer that was given to a wrong host, listening on %s',
    (host) => {
      const origins = new Origins(rules({ host, allowedOrigins: ['*'] }));
      expect(origins.readableBy('http://evil.example', 'evil.example')).toBeUndefined();
    },
  );
});
