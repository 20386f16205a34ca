import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HostGuard } from '../../src/feed/host-guard.ts';
import { HttpFeed, httpFeed } from '../../src/feed/http.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { faults, read, readable, tick } from './fixture.ts';
import { PATIENCE, Upstream } from './upstream.ts';

/** An upstream that always gives the same answer. */
const answering = (body: string | Uint8Array, headers: Record<string, string> = {}, status = 200) =>
  Upstream.start((_request, response) => response.writeHead(status, headers).end(body));

const json = { 'content-type': 'application/json' };
const byHand = { ...tick, manual: true } as const;

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/** A certificate that is good for a day, and its key. */
function selfSigned(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-tls-'));
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  const subject = ['-subj', '/CN=prices.test', '-days', '1', '-nodes'];
  const { status } = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-keyout', key, '-out', cert],
    ...subject,
  ]);
  expect(status).toBe(0);
  const made = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(folder, { recursive: true });
  return made;
}

/** What a feed of this URL rejects with, without the port. */
async function complaint(url: string, options = {}): Promise<string> {
  const error = await read(readable(httpFeed, { url, ...options })).then(
    (value) => new Error(`it answered ${value}`),
    (thrown) => thrown,
  );
  return error.message.replaceAll(/(127\.0\.0\.1|localhost|\[::1\]):\d+/g, '$1');
}

describe('the http feed', () => {
  describe('takes a value', () => {
    it.each([
      'application/json',
      'application/json; charset=utf-8',
      'application/geo+json',
      'Application/JSON ;a=b',
    ])('of type %s as JSON, on one line', async (type) => {
      const upstream = await answering('\ufeff{\r\n "a": [1,\n2] }\n', { 'content-type': type });
      expect(await read(readable(httpFeed, { url: upstream.url() }))).toBe('{"a":[1,2]}');
    });

    it.each<Record<string, string>>([
      {},
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/jsonp' },
    ])('with the headers %j as text', async (headers) => {
      const upstream = await answering('{"ä":\n1}', headers);
      expect(await read(readable(httpFeed, { url: upstream.url() }))).toBe('"{\\"ä\\":\\n1}"');
    });

    it('and picks a part of it', async () => {
      const upstream = await answering('{"rates":{"a/b":[null,8]}}', json);
      expect(await read(readable(httpFeed, { url: upstream.url(), pick: '/rates/a~1b/1' }))).toBe('8');
      expect(await complaint(upstream.url(), { pick: '/rates/usd' })).toBe(
        'GET http://127.0.0.1/: the answer holds nothing at "/rates/usd"',
      );
    });

    it('with the method and headers of the file, over our own', async () => {
      const upstream = await answering('');
      const headers = { Authorization: 'Bearer s3cret', 'User-Agent': 'wall' };
      expect(await read(readable(httpFeed, { url: upstream.url('/p?q=1'), method: 'POST', headers }))).toBe(
        '""',
      );
      expect(upstream.requests[0]).toMatchObject({
        method: 'POST',
        url: '/p?q=1',
        headers: { authorization: 'Bearer s3cret', 'user-agent': 'wall', 'accept-encoding': 'identity' },
      });
    });

    it('with user and password of the URL', async () => {
      const upstream = await answering('1');
      await read(readable(httpFeed, { url: upstream.url().replace('//', '//me:p%40ss%zz@') }));
      expect(upstream.requests[0]?.headers.authorization).toBe(`Basic ${btoa('me:p@ss%zz')}`);
    });

    it('over IPv6, and from a host that has a name', async () => {
      const upstream = await Upstream.start((_request, response) => response.end('six'), '::1');
      expect(await read(readable(httpFeed, { url: upstream.url('/', '[::1]') }))).toBe('"six"');
      const named = await Upstream.start((_request, response) => response.end('named'), 'localhost');
      expect(await read(readable(httpFeed, { url: named.url('/', 'localhost') }))).toBe('"named"');
    });
  });

  it.skipIf(!hasOpenssl)('asks over TLS, naming the host', async () => {
    const { key, cert } = selfSigned();
    const names: unknown[] = [];
    const server = createTlsServer({ key, cert }, (request, response) => {
      names.push((request.socket as TLSSocket).servername);
      response.end('x'.repeat(200_000));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const guard = new HostGuard({
      named: 'prices.test',
      lookUp: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
    });
    const url = `https://prices.test:${port}/`;
    const feed = new HttpFeed(
      { url, method: 'GET', headers: {}, maxBytes: 200_000 },
      new ManualClock(),
      guard,
    );
    // Nobody vouches for it.
    await expect(read(feed)).rejects.toThrow('self-signed certificate');
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await read(feed, byHand)).toHaveLength(200_002);
    expect(names).toEqual(['prices.test']);
  });

  describe('refuses', () => {
    it.each([
      [500, 'Internal Server Error'],
      [404, 'Not Found'],
      [304, 'Not Modified'],
      [302, 'Found'],
      [599, 'with a status that has no name'],
    ])('the status %d', async (status, meaning) => {
      const upstream = await answering('{}', json, status);
      expect(await complaint(upstream.url('/prices?key=s3cret#x'))).toBe(
        `GET http://127.0.0.1/prices answered ${status} ${meaning}`,
      );
    });

    it('what is not the JSON it claims to be', async () => {
      const upstream = await answering('{"a":', json);
      expect(await complaint(upstream.url())).toBe(
        'GET http://127.0.0.1/: the answer is not JSON: Unexpected end of JSON input',
      );
      const empty = await answering('', json);
      expect(await complaint(empty.url())).toMatch(/the answer is not JSON/);
    });

    it('JSON that is nested too deeply to be written again', async () => {
      const upstream = await answering('['.repeat(30_000) + ']'.repeat(30_000), json);
      expect(await complaint(upstream.url())).toMatch(/the answer is nested too deeply$/);
    });

    it('bytes that are not UTF-8', async () => {
      const upstream = await answering(Uint8Array.of(0x47, 0xfc, 0x6e), {
        'content-type': 'text/plain; charset=latin1',
      });
      expect(await complaint(upstream.url())).toBe('GET http://127.0.0.1/: the answer is not UTF-8');
    });

    it('a compressed body, which it did not ask for', async () => {
      const upstream = await answering(gzipSync('{}'), { ...json, 'content-encoding': 'gzip' });
      expect(await complaint(upstream.url())).toBe(
        'GET http://127.0.0.1/ answered with a compressed body, although it was asked not to',
      );
    });

    it('an answer that is no HTTP, or breaks off', async () => {
      let reply = '';
      const server = createTcpServer((socket) =>
        socket.on('error', () => {}).once('data', () => socket.end(reply)),
      );
      await once(server.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => void server.close());
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      for (const text of [
        '\u0000\u0001\u0002 garbage',
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
        '',
        'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
        `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}`,
      ]) {
        reply = text;
        const said = await complaint(url);
        expect(said).toMatch(/^GET http:\/\/127\.0\.0\.1\/: ./);
        expect(said).not.toMatch(/it answered/);
      }
    });

    it('nobody there', async () => {
      const upstream = await answering('');
      const { port } = upstream;
      const server = createTcpServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const free = (server.address() as AddressInfo).port;
      await new Promise((resolve) => server.close(resolve));
      expect(free).not.toBe(port);
      expect(await complaint(`http://127.0.0.1:${free}/`)).toMatch(
        /^GET http:\/\/127\.0\.0\.1\/: connect ECONNREFUSED/,
      );
      expect(await complaint(`http://localhost:${free}/`)).toMatch(
        /^GET http:\/\/localhost\/: .*ECONNREFUSED/,
      );
    });
  });

  describe('never tells', () => {
    it('header values, user, password or query', async () => {
      const upstream = await Upstream.start((_request, response) => response.destroy());
      const url = `http://user:pass@127.0.0.1:${upstream.port}/p?token=query`;
      const feed = readable(httpFeed, { url, headers: { 'x-key': 's3cret' } });
      for (const at of [tick, tick, byHand]) {
        const error = await read(feed, at).catch((thrown) => thrown);
        expect(error.message).toMatch(/^GET http:\/\/127\.0\.0\.1:\d+\/p: /);
        expect(error.message).not.toMatch(/user|pass|query|s3cret/);
      }
    });
  });

  describe('takes no more than maxBytes', () => {
    it('where the length is announced: exactly so many, and not one more', async () => {
      const upstream = await answering('x'.repeat(100));
      expect(await read(readable(httpFeed, { url: upstream.url(), maxBytes: 100 }))).toHaveLength(102);
      expect(await complaint(upstream.url(), { maxBytes: 99 })).toBe(
        'GET http://127.0.0.1/: the answer is larger than 99 bytes: raise maxBytes if that is as it should be',
      );
    });

    it.each([
      ['with its length announced', { 'content-length': '10000000000' }],
      ['in chunks', {}],
    ])('of 10 GB %s, and hangs up early', async (_how, headers) => {
      let sent = 0;
      const upstream = await Upstream.start((_request, response) => {
        response.writeHead(200, headers);
        const block = Buffer.alloc(65_536, 'x');
        const pour = () => {
          while (!response.destroyed && sent < 1e10) {
            sent += block.length;
            if (!response.write(block)) {
              response.once('drain', pour);
              return;
            }
          }
        };
        pour();
      });
      expect(await complaint(upstream.url())).toMatch(/the answer is larger than 65536 bytes/);
      await upstream.left();
      // What was in buffers on the way, ours and the system's.
      expect(sent).toBeLessThan(50_000_000);
    });
  });

  describe('asks whether the value is still the one', () => {
    it('by its tag and date, and keeps it after 304', async () => {
      let body = '{"a":1}';
      const upstream = await Upstream.start((request, response) => {
        const etag = `"${body}"`;
        const headers = { ...json, etag, 'last-modified': 'Fri, 20 Nov 2026 18:00:00 GMT' };
        if (request.headers['if-none-match'] === etag) response.writeHead(304, headers).end();
        else response.writeHead(200, headers).end(body);
      });
      const feed = readable(httpFeed, { url: upstream.url(), pick: '/a' });
      expect(await read(feed)).toBe('1');
      expect(await read(feed)).toBe('1');
      body = '{"a":2}';
      expect(await read(feed)).toBe('2');
      expect(await read(feed)).toBe('2');
      expect(upstream.requests.map(({ headers }) => headers['if-none-match'])).toEqual([
        undefined,
        '"{"a":1}"',
        '"{"a":1}"',
        '"{"a":2}"',
      ]);
      expect(upstream.requests[1]?.headers['if-modified-since']).toBe('Fri, 20 Nov 2026 18:00:00 GMT');
    });

    it('of the URL that gave it, not of the one that redirected', async () => {
      const upstream = await Upstream.start((request, response) => {
        if (request.url === '/old') response.writeHead(302, { location: '/new', etag: '"old"' }).end();
        else if (request.headers['if-none-match']) response.writeHead(304).end();
        else response.writeHead(200, { etag: '"new"' }).end('value');
      });
      const feed = readable(httpFeed, { url: upstream.url('/old') });
      expect(await read(feed)).toBe('"value"');
      expect(await read(feed)).toBe('"value"');
      expect(upstream.requests.map(({ url, headers }) => [url, headers['if-none-match']])).toEqual([
        ['/old', undefined],
        ['/new', undefined],
        ['/old', undefined],
        ['/new', '"new"'],
      ]);
    });

    it('not after a POST, nor where the upstream gave nothing to ask by', async () => {
      const upstream = await Upstream.start((request, response) => {
        response.writeHead(200, request.method === 'POST' ? { etag: '"1"' } : {}).end('1');
      });
      for (const method of ['POST', 'GET']) {
        const feed = readable(httpFeed, { url: upstream.url(), method });
        await read(feed);
        await read(feed);
      }
      expect(upstream.requests.map(({ headers }) => headers['if-none-match'])).toEqual(
        Array(4).fill(undefined),
      );
    });
  });

  describe('follows redirects', () => {
    it.each([
      [301, 'GET'],
      [302, 'GET'],
      [303, 'GET'],
      [307, 'POST'],
      [308, 'POST'],
    ])('of status %d with %s after a POST', async (status, method) => {
      const upstream = await Upstream.start((request, response) => {
        if (request.url === '/') response.writeHead(status, { location: 'there?x=1' }).end();
        else response.end(request.method);
      });
      expect(await read(readable(httpFeed, { url: upstream.url(), method: 'POST' }))).toBe(`"${method}"`);
    });

    it('five times and no more', async () => {
      const upstream = await Upstream.start((request, response) => {
        const left = Number(request.url?.slice(1));
        if (left === 0) response.end('there');
        else response.writeHead(302, { location: `/${left - 1}` }).end();
      });
      expect(await read(readable(httpFeed, { url: upstream.url('/5') }))).toBe('"there"');
      expect(await complaint(upstream.url('/6'))).toBe(
        'GET http://127.0.0.1/6: more than 5 redirects, the last from http://127.0.0.1/1',
      );
    });

    it('that go round in a circle for five requests more, whatever their bodies', async () => {
      const upstream = await Upstream.start((request, response) => {
        response.writeHead(302, { location: request.url === '/a?k=s3cret' ? '/b' : '/a?k=s3cret' });
        response.write('x'.repeat(1_000_000));
      });
      expect(await complaint(upstream.url('/b'))).toBe(
        'GET http://127.0.0.1/b: more than 5 redirects, the last from http://127.0.0.1/a',
      );
      expect(upstream.requests).toHaveLength(6);
      await upstream.left();
    });

    it('to another origin without the headers of the file, also on the way back', async () => {
      const other = await Upstream.start((_request, response) => {
        response.writeHead(307, { location: home.url('/end') }).end();
      });
      const home = await Upstream.start((request, response) => {
        if (request.url === '/end') response.end('home');
        else if (request.url === '/') response.writeHead(307, { location: '/next' }).end();
        else response.writeHead(307, { location: other.url().replace('//', '//evil:login@') }).end();
      });
      const headers = {
        Authorization: 'Bearer s3cret',
        cookie: 'a=b',
        'X-Api-Key': 'k',
        'User-Agent': 'wall',
      };
      expect(await read(readable(httpFeed, { url: home.url(), headers }))).toBe('"home"');
      const [first, next, end] = home.requests.map((request) => request.headers);
      for (const kept of [first, next])
        expect(kept).toMatchObject({ authorization: 'Bearer s3cret', cookie: 'a=b', 'x-api-key': 'k' });
      for (const dropped of [other.requests[0]?.headers, end]) {
        expect(dropped).toMatchObject({ 'user-agent': 'wall' });
        expect(Object.keys(dropped ?? {})).not.toEqual(
          expect.arrayContaining([expect.stringMatching(/^(authorization|cookie|x-api-key)$/)]),
        );
      }
    });

    it.each([
      ['127.0.0.2', '127.0.0.2'],
      ['[::1]', '::1'],
      ['[::ffff:127.0.0.1]', '::ffff:7f00:1'],
      ['[::]', '::'],
      ['0.0.0.0', '0.0.0.0'],
      ['0', '0.0.0.0'],
      ['2130706434', '127.0.0.2'],
      ['0x7f.2', '127.0.0.2'],
      ['10.0.0.1', '10.0.0.1'],
      ['192.168.1.1', '192.168.1.1'],
      ['169.254.169.254', '169.254.169.254'],
      ['100.64.0.1', '100.64.0.1'],
      ['224.0.0.1', '224.0.0.1'],
      ['[fe80::1]', 'fe80::1'],
      ['[64:ff9b::7f00:1]', '64:ff9b::7f00:1'],
    ])('not to %s, which the file does not name', async (host, shown) => {
      const inner = await Upstream.start((_request, response) => response.end('secret'), '::');
      const upstream = await answering('', { location: inner.url('/latest', host) }, 302);
      expect(await complaint(upstream.url())).toBe(
        `GET http://127.0.0.1/: a redirect leads to ${shown}, which is not a public address: write it as the feed's url if it may be asked`,
      );
      expect(inner.requests).toEqual([]);
      expect(inner.open).toBe(0);
    });

    it.each(['localhost', 'LOCALHOST', 'LocalHost'])(
      'not to the name %s, which is looked up',
      async (host) => {
        const inner = await Upstream.start((_request, response) => response.end('secret'), 'localhost');
        const upstream = await answering('', { location: inner.url('/', host) }, 302);
        expect(await complaint(upstream.url())).toMatch(
          /^GET http:\/\/127\.0\.0\.1\/: a redirect leads to localhost \((127\.0\.0\.1|::1)\), which is not a public/,
        );
        expect(inner.requests).toEqual([]);
      },
    );

    it.each([
      'file:///etc/passwd',
      'ftp://127.0.0.1/',
      'data:,x',
      'javascript:1',
      'http://',
      'http://a b/',
      'http://[::1',
    ])('not to %s', async (location) => {
      const upstream = await answering('', { location }, 302);
      expect(await complaint(upstream.url())).toBe(
        'GET http://127.0.0.1/: http://127.0.0.1/ redirects to what is not an http:// or https:// URL',
      );
    });
  });

  describe('keeps to where its host was first', () => {
    /** Of this test, 127.0.0.1 is public and 127.0.0.2 is not. */
    async function setup(answer: RequestListener) {
      const outside = await Upstream.start(answer);
      const inside = await Upstream.start((_request, response) => response.end('secret'), '127.0.0.2');
      const now = { address: '127.0.0.1' };
      const guard = new HostGuard({
        named: 'prices.test',
        lookUp: (_name, _options, callback) => callback(null, [{ ...now, family: 4 }]),
        isPublic: (address) => address === '127.0.0.1',
      });
      const url = outside.url('/', 'prices.test');
      const options = { url, method: 'GET', headers: {}, maxBytes: 100 } as const;
      const feed = new HttpFeed(options, new ManualClock(), guard);
      return { outside, inside, now, feed };
    }
    const refused = expect.objectContaining({
      reason: 'refused',
      message: expect.stringContaining(
        'prices.test had a public address and now has 127.0.0.2, which is not',
      ),
    });

    it('when it is read again', async () => {
      const { outside, inside, now, feed } = await setup((_request, response) => response.end('1'));
      expect(await read(feed)).toBe('"1"');
      now.address = '127.0.0.2';
      for (const at of [tick, tick, byHand])
        expect(await read(feed, at).catch((error) => error)).toEqual(refused);
      expect(inside.open + inside.requests.length).toBe(0);
      now.address = '127.0.0.1';
      expect(await read(feed, byHand)).toBe('"1"');
      expect(outside.requests).toHaveLength(2);
    });

    it('when a redirect leads back to it', async () => {
      const { inside, now, feed } = await setup((_request, response) => {
        now.address = '127.0.0.2';
        response.writeHead(302, { location: inside.url('/', 'prices.test') }).end();
      });
      expect(await read(feed).catch((error) => error)).toEqual(refused);
      expect(inside.open + inside.requests.length).toBe(0);
    });
  });

  describe('leaves a failing upstream in peace', () => {
    const setup = async (headers: Record<string, string> = {}) => {
      const clock = new ManualClock('2026-11-20T18:00:00.000Z');
      let status = 503;
      const upstream = await Upstream.start((_request, response) =>
        response.writeHead(status, headers).end('"up"'),
      );
      const feed = readable(httpFeed, { url: upstream.url() }, { clock });
      const recover = () => {
        status = 200;
      };
      return { clock, upstream, feed, recover };
    };

    it('for a second, then two, saying why and until when', async () => {
      const { clock, upstream, feed } = await setup();
      await expect(read(feed)).rejects.toThrow(/answered 503 Service Unavailable$/);
      await expect(read(feed)).rejects.toThrow(
        /^GET http:\/\/127\.0\.0\.1:\d+\/ answered 503 Service Unavailable; not asked again before 2026-11-20T18:00:01\.000Z$/,
      );
      clock.advance(1_000);
      await expect(read(feed)).rejects.toThrow(/answered 503 Service Unavailable$/);
      clock.advance(1_999);
      await expect(read(feed)).rejects.toThrow('not asked again before 2026-11-20T18:00:03.000Z');
      expect(upstream.requests).toHaveLength(2);
    });

    it.each([
      ['120', '18:02:00.000Z'],
      ['Fri, 20 Nov 2026 18:05:00 GMT', '18:05:00.000Z'],
      ['99999999999999999999', '18:10:00.000Z'],
      ['Fri, 20 Nov 2026 17:00:00 GMT', '18:00:01.000Z'],
      ['0', '18:00:01.000Z'],
      ['soon', '18:00:01.000Z'],
    ])('as long as Retry-After: %s asks for, within reason', async (wait, until) => {
      const { feed } = await setup({ 'retry-after': wait });
      await read(feed).catch(() => {});
      await expect(read(feed)).rejects.toThrow(`not asked again before 2026-11-20T${until}`);
    });

    it('but not from a run by hand, and asks as before once it is well', async () => {
      const { feed, upstream, recover } = await setup();
      await read(feed).catch(() => {});
      await expect(read(feed, byHand)).rejects.toThrow(/answered 503 Service Unavailable$/);
      recover();
      expect(await read(feed, byHand)).toBe('"\\"up\\""');
      expect(await read(feed)).toBe('"\\"up\\""');
      expect(upstream.requests).toHaveLength(4);
    });
  });

  describe('ends', () => {
    /** Aborts a read when `ready`, and tells what came of it. */
    async function aborted(url: string, ready: () => unknown): Promise<unknown> {
      const over = new AbortController();
      const feed = readable(httpFeed, { url });
      const value = feed.read(tick, over.signal).catch((error) => error);
      await ready();
      over.abort(new Error('time is up'));
      expect(await value).toEqual(new Error('time is up'));
      // Being aborted is no failure of the upstream's: the next read asks again.
      const again = new AbortController();
      const next = feed.read(tick, again.signal).catch((error) => error);
      await ready();
      again.abort(new Error('again'));
      expect(await next).toEqual(new Error('again'));
      return undefined;
    }

    it('when aborted before the answer', async () => {
      const upstream = await Upstream.start(() => {});
      let count = 0;
      await aborted(upstream.url(), () => upstream.asked(++count));
      await upstream.left();
    });

    it('no sooner than the look-up of the name, which nothing can end', async () => {
      let answer = () => {};
      const guard = new HostGuard({
        named: 'prices.test',
        lookUp: (_name, _options, callback) => {
          answer = () => callback(null, [{ address: '127.0.0.1', family: 4 }]);
        },
      });
      const upstream = await answering('1');
      const options = {
        url: upstream.url('/', 'prices.test'),
        method: 'GET',
        headers: {},
        maxBytes: 9,
      } as const;
      const feed = new HttpFeed(options, new ManualClock(), guard);
      const over = new AbortController();
      let ended = false;
      const value = feed.read(tick, over.signal).finally(() => {
        ended = true;
      });
      value.catch(() => {});
      over.abort(new Error('time is up'));
      await settled();
      expect(ended).toBe(false);
      await expect(read(feed)).rejects.toThrow('the request before has not ended');
      answer();
      await expect(value).rejects.toThrow('time is up');
      expect(upstream.requests).toEqual([]);
      const again = read(feed);
      answer();
      expect(await again).toBe('"1"');
    });

    it('when aborted in the middle of a body that trickles', async () => {
      const upstream = await Upstream.start((_request, response) => {
        response.writeHead(200).write('x');
      });
      let count = 0;
      await aborted(upstream.url(), () => upstream.asked(++count));
      await upstream.left();
    });

    it('when aborted during the handshake of TLS, with the connection', async () => {
      const sockets: Socket[] = [];
      const server = createTcpServer((socket) => sockets.push(socket.on('error', () => {}).resume()));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => void server.close());
      let count = 0;
      await aborted(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`, () => {
        count += 1;
        return vi.waitUntil(() => sockets.length >= count, PATIENCE);
      });
      await vi.waitUntil(() => sockets.every((socket) => socket.destroyed), PATIENCE);
    });

    it('when aborted after a redirect', async () => {
      const upstream = await Upstream.start((request, response) => {
        if (request.url === '/') response.writeHead(302, { location: '/slow' }).end();
      });
      let count = 0;
      await aborted(upstream.url(), () => {
        count += 2;
        return upstream.asked(count);
      });
      await upstream.left();
    });

    it('before it began, when aborted already', async () => {
      const upstream = await answering('1');
      const feed = readable(httpFeed, { url: upstream.url() });
      await expect(feed.read(tick, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
      expect(upstream.requests).toEqual([]);
    });

    it('with no connection left, whatever came of it', async () => {
      const upstream = await Upstream.start((request, response) => {
        response.writeHead(request.url === '/bad' ? 500 : 200).end('x'.repeat(1000));
      });
      await read(readable(httpFeed, { url: upstream.url() }));
      await upstream.left();
      await complaint(upstream.url('/bad'));
      await upstream.left();
      await complaint(upstream.url(), { maxBytes: 1 });
      await upstream.left();
    });
  });

  it('has one request under way at a time', async () => {
    const upstream = await Upstream.start(() => {});
    const feed = readable(httpFeed, { url: upstream.url() });
    const over = new AbortController();
    const first = feed.read(tick, over.signal).catch((error) => error);
    await upstream.asked();
    await expect(read(feed, byHand)).rejects.toThrow(
      /^GET http:\/\/127\.0\.0\.1:\d+\/: the request before has not ended$/,
    );
    over.abort(new Error('enough'));
    expect(await first).toEqual(new Error('enough'));
    expect(upstream.requests).toHaveLength(1);
  });

  describe('refuses the options', () => {
    const noUrl = 'url: is not a URL that can be asked: write one that starts with http:// or https://';
    it.each([
      [{}, /^url: /],
      [{ url: 7 }, /^url: /],
      [{ url: '' }, noUrl],
      [{ url: 'example.com/x' }, noUrl],
      [{ url: 'ftp://example.com/' }, noUrl],
      [{ url: 'file:///etc/passwd' }, noUrl],
      [{ url: 'http:example.com' }, noUrl],
      [{ url: 'http://' }, noUrl],
      [{ url: 'http://x:99999/' }, noUrl],
      [{ url: 'http://x', method: 'get' }, 'method: "get" is not a method for a feed: write "GET" or "POST"'],
      [{ url: 'http://x', method: 'CONNECT' }, /^method: "CONNECT" is not/],
      [{ url: 'http://x', headers: { a: 1 } }, /^headers\.a: /],
      [{ url: 'http://x', headers: ['a'] }, /^headers: /],
      [
        { url: 'http://x', headers: { 'a b': 'c' } },
        'headers.a b: "a b" is not a header name: write letters, digits and hyphens',
      ],
      [
        { url: 'http://x', headers: { a: 's3cret\r\nb: c' } },
        'headers.a: holds a character that no header may have, such as a line break',
      ],
      [
        { url: 'http://x', headers: { Connection: 'close' } },
        'headers.Connection: Connection is not for a feed to set: leave it out',
      ],
      [{ url: 'http://x', headers: { 'transfer-encoding': 'chunked' } }, /^headers\.transfer-encoding: /],
      [{ url: 'http://x', maxBytes: -1 }, /^maxBytes: /],
      [{ url: 'http://x', pick: '/~2' }, /^pick: "\/~2" is not a JSON Pointer/],
    ])('%j', (options, expected) => {
      expect(faults(httpFeed, options)).toEqual([
        typeof expected === 'string' ? expected : expect.stringMatching(expected),
      ]);
    });
  });
});
