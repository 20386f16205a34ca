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
      ['0.0.0.0', 'evil.example', 200],
      ['::', 'wall.local:8080', 200],
      ['192.168.1.4', undefined, 200],
    ])('listening on %s, the host %j is answered with %i', (host, header, expected) => {
      const origins = new Origins(rules({ host }));
      expect(status(() => origins.checkHost(header))).toBe(expected);
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
      expect(status(() => origins.checkHost(header))).toBe(expected);
    });

    it('names the host and the key to set', () => {
      const check = () => new Origins(rules()).checkHost('evil.example');
      expect(check).toThrow(/"evil\.example".*set server\.publicUrl/);
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

  it('lets no page read an answer that was given to a wrong host', () => {
    const origins = new Origins(rules({ allowedOrigins: ['*'] }));
    expect(origins.readableBy('http://evil.example', 'evil.example')).toBeUndefined();
  });
});
