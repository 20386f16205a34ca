import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClientAddresses } from '../../src/access/client-address.ts';

function client(trustProxy: string[], peer: string | undefined, forwardedFor?: string, proto?: string) {
  const headers: Record<string, string | undefined> = {
    'x-forwarded-for': forwardedFor,
    'x-forwarded-proto': proto,
  };
  return new ClientAddresses(trustProxy).of(peer, { header: (name) => headers[name] });
}

describe('the address of a client', () => {
  test('is that of the peer where nobody is trusted, whatever the headers say', () => {
    expect(client([], '203.0.113.9', '198.51.100.1', 'https')).toEqual({
      address: '203.0.113.9',
      protocol: undefined,
      isLocal: false,
    });
  });

  test('is that of the peer where another is trusted', () => {
    expect(client(['10.0.0.1'], '10.0.0.2', '198.51.100.1').address).toBe('10.0.0.2');
  });

  test.each([
    ['one proxy', '198.51.100.1', '198.51.100.1'],
    ['an entry that the client made up', '127.0.0.1, 198.51.100.1', '198.51.100.1'],
    ['a trusted address that the client made up', '10.9.9.9, 198.51.100.1', '198.51.100.1'],
    ['two proxies', '198.51.100.1, 10.0.0.7', '198.51.100.1'],
    ['proxies all the way', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['blanks', ' 198.51.100.1 ,10.0.0.2 ', '198.51.100.1'],
    ['a port', '198.51.100.1:61234', '198.51.100.1'],
    ['IPv6', '2001:db8::1', '2001:db8::1'],
    ['IPv6 in brackets', '[2001:db8::1]', '2001:db8::1'],
    ['IPv6 in brackets with a port', '[2001:DB8::1]:443', '2001:db8::1'],
    ['IPv4 in the clothes of IPv6', '::ffff:198.51.100.1', '198.51.100.1'],
    ['a trusted one in such clothes', '198.51.100.1, ::ffff:10.0.0.7', '198.51.100.1'],
  ])('behind a trusted proxy comes from X-Forwarded-For: %s', (_what, header, address) => {
    expect(client(['10.0.0.0/8', 'fd00::/8'], '10.0.0.1', header)).toMatchObject({ address, isLocal: false });
  });

  test.each([
    ['no header', undefined, '10.0.0.1'],
    ['an empty one', '', '10.0.0.1'],
    ['a word', 'unknown', '10.0.0.1'],
    ['a lone port', ':80', '10.0.0.1'],
    ['short forms that are no address', '127.1', '10.0.0.1'],
    ['numbers too large', '999.1.1.1', '10.0.0.1'],
    ['a bracket that stays open', '[2001:db8::1', '10.0.0.1'],
    ['an empty entry', '198.51.100.1,', '10.0.0.1'],
    ['a word before a proxy', 'unknown, 10.0.0.7', '10.0.0.7'],
    ['markup', '<script>, 10.0.0.7', '10.0.0.7'],
  ])('is the nearest that can be believed where the header says: %s', (_what, header, address) => {
    expect(client(['10.0.0.0/8'], '10.0.0.1', header).address).toBe(address);
  });

  test('follows so many proxies and no more, since a header is as long as its sender likes', () => {
    const header = Array.from({ length: 3000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`).join(',');
    expect(client(['10.0.0.0/8'], '10.0.0.1', header).address).toBe('10.1.11.152');
  });

  test('is IPv4 where a socket for both gives it as IPv6, and has no zone', () => {
    expect(client([], '::ffff:203.0.113.9').address).toBe('203.0.113.9');
    expect(client(['10.0.0.1'], '::ffff:10.0.0.1', '198.51.100.1').address).toBe('198.51.100.1');
    expect(client([], 'fe80::1%eth0').address).toBe('fe80::1');
    expect(client([], undefined).address).toBe('');
  });

  test.each([
    ['https', 'https'],
    ['HTTP', 'http'],
    ['wss', undefined],
    [undefined, undefined],
    ['', undefined],
  ])('comes with the protocol %s as %s', (header, protocol) => {
    expect(client(['10.0.0.1'], '10.0.0.1', '198.51.100.1', header).protocol).toBe(protocol);
  });

  test('takes the protocol from the proxy that saw the client, not from what it made up', () => {
    expect(client(['10.0.0.0/8'], '10.0.0.1', '198.51.100.1, 10.0.0.2', 'https, http').protocol).toBe(
      'https',
    );
    expect(client(['10.0.0.0/8'], '10.0.0.1', '198.51.100.1', 'https, http').protocol).toBe('http');
    expect(client(['10.0.0.0/8'], '10.0.0.1', '198.51.100.1, 10.0.0.2', 'https').protocol).toBe('https');
  });

  test.each(['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1'])('is local at %s', (peer) => {
    expect(client([], peer).isLocal).toBe(true);
    expect(client(['127.0.0.0/8', '::1'], peer).isLocal).toBe(false);
  });

  test('is not local because a proxy says so', () => {
    expect(client(['10.0.0.1'], '10.0.0.1', '127.0.0.1')).toMatchObject({
      address: '127.0.0.1',
      isLocal: false,
    });
  });

  test('is an address or nothing, whatever the header is', () => {
    const addresses = new ClientAddresses(['10.0.0.0/8', '::/0']);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string())).map((all) => all.join(',')),
        ),
        (header) => {
          const { address } = addresses.of('10.0.0.1', { header: () => header });
          expect(address).toMatch(/^[\d.]+$|^[\da-f:]+$/);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
