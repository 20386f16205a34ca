import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { FeedError } from '../../src/feed/feed.ts';
import { HostGuard, isPublic } from '../../src/feed/host-guard.ts';

describe('isPublic', () => {
  it.each([
    '2000::1',
    '3ffe::1',
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '172.32.0.1',
    '2606:4700::1111',
    '::ffff:8.8.8.8',
  ])('%s is public', (address) => {
    expect(isPublic(address)).toBe(true);
  });

  it.each([
    ['loopback', '127.0.0.1'],
    ['loopback', '127.255.255.254'],
    ['loopback', '::1'],
    ['unspecified', '0.0.0.0'],
    ['unspecified', '0.1.2.3'],
    ['unspecified', '::'],
    ['private', '10.0.0.1'],
    ['private', '172.16.0.1'],
    ['private', '192.168.255.255'],
    ['private', 'fd12::1'],
    ['link-local', '169.254.169.254'],
    ['link-local', 'fe80::1'],
    ['link-local', 'fe80::1%eth0'],
    ['link-local', 'fe80::1%br-lan'],
    ['site-local', 'fec0::1'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['multicast', '224.0.0.1'],
    ['multicast', 'ff02::1'],
    ['broadcast', '255.255.255.255'],
    ['reserved', '240.0.0.1'],
    ['reserved', '192.0.2.1'],
    ['benchmarks', '198.18.0.1'],
    ['documentation', '2001:db8::1'],
    ['IPv4-mapped loopback', '::ffff:127.0.0.1'],
    ['IPv4-mapped private', '::ffff:c0a8:1'],
    ['IPv4-compatible loopback', '::127.0.0.1'],
    ['IPv4-compatible loopback in IPv6 form', '::7f00:1'],
    ['IPv4-compatible private', '::c0a8:1'],
    ['below what is handed out', '1fff::1'],
    ['above what is handed out', '4000::1'],
    ['above what is handed out', 'e000::1'],
    ['IPv4-translated loopback', '::ffff:0:127.0.0.1'],
    ['NAT64 of loopback', '64:ff9b::7f00:1'],
    ['6to4 of loopback', '2002:7f00:1::'],
    ['6to4 of private', '2002:c0a8:101::1'],
    ['NAT64 of private', '64:ff9b::192.168.1.1'],
    ['NAT64 of a network of its own', '64:ff9b:1::7f00:1'],
    ['discarded', '100::1'],
    ['new documentation', '3fff::1'],
    ['segment routing', '5f00::1'],
    ['ORCHID', '2001:20::1'],
    ['6to4 relays', '192.88.99.1'],
    ['protocols', '192.0.0.8'],
    ['unspecified, mapped', '::ffff:0.0.0.0'],
    ['Teredo', '2001::1'],
    ['no address', 'example.com'],
    ['no address', '127.1'],
    ['no address', ''],
  ])('%s is not: %s', (_what, address) => {
    expect(isPublic(address)).toBe(false);
  });
});

type Answer = readonly string[] | Error;

/** A guard whose names have these addresses, one answer after the other; the last one stays. */
function guarded(named: string, answers: Readonly<Record<string, readonly Answer[]>>) {
  const asked = new Map<string, number>();
  const guard = new HostGuard({
    named,
    lookUp(hostname, _options, callback) {
      const count = asked.get(hostname) ?? 0;
      asked.set(hostname, count + 1);
      const list = answers[hostname] ?? [new Error(`ENOTFOUND ${hostname}`)];
      const answer = list[Math.min(count, list.length - 1)] ?? [];
      if (answer instanceof Error) return callback(answer, []);
      const addresses = answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
      callback(null, addresses);
    },
  });
  /** What a connection to the name would be made to, or the error. */
  return (hostname: string, all = true) =>
    new Promise<unknown>((resolve) => {
      guard.lookup(hostname, { all }, (error, address) => resolve(error ?? address));
    });
}

const addresses = (...list: string[]) =>
  list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
const refused = (message: string) =>
  expect.objectContaining({ reason: 'refused', message: expect.stringContaining(message) });

describe('HostGuard', () => {
  it('gives one address or all, as the socket asks', async () => {
    const lookUp = guarded('localhost', { localhost: [['::1', '127.0.0.1']] });
    expect(await lookUp('localhost')).toEqual(addresses('::1', '127.0.0.1'));
    expect(await lookUp('localhost', false)).toBe('::1');
  });

  it.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '0.0.0.0',
    '::1',
    'fd12::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::',
  ])('refuses %s to a name that was public, for good', async (inner) => {
    const lookUp = guarded('prices.test', { 'prices.test': [['8.8.8.8'], [inner], ['8.8.4.4'], [inner]] });
    const refusal = refused(
      `prices.test had a public address and now has ${inner}, which is not one: write that address in the feed's url`,
    );
    expect(await lookUp('prices.test')).toEqual(addresses('8.8.8.8'));
    expect(await lookUp('prices.test')).toEqual(refusal);
    expect(await lookUp('prices.test')).toEqual(addresses('8.8.4.4'));
    expect(await lookUp('prices.test', false)).toEqual(refusal);
  });

  it('refuses a name that was public and now has addresses of both kinds', async () => {
    const lookUp = guarded('prices.test', { 'prices.test': [['8.8.8.8'], ['8.8.8.8', '10.0.0.1']] });
    await lookUp('prices.test');
    expect(await lookUp('prices.test')).toEqual(refused('now has 10.0.0.1'));
  });

  it.each([
    ['an inner address', ['10.0.0.1']],
    ['addresses of both kinds, as hosts of a home network have,', ['10.0.0.1', '2606:4700::1111']],
  ])('lets a name with %s keep what it has, because the file names it', async (_what, first) => {
    const lookUp = guarded('db.internal', { 'db.internal': [first, ['8.8.8.8'], ['192.168.0.1']] });
    expect(await lookUp('db.internal')).toEqual(addresses(...first));
    expect(await lookUp('db.internal')).toEqual(addresses('8.8.8.8'));
    expect(await lookUp('db.internal')).toEqual(addresses('192.168.0.1'));
  });

  it('takes the first look-up that has an answer', async () => {
    const answers = [new Error('EAI_AGAIN'), [], ['8.8.8.8'], ['10.0.0.1']];
    const lookUp = guarded('prices.test', { 'prices.test': answers });
    expect(await lookUp('prices.test')).toEqual(new Error('EAI_AGAIN'));
    expect(await lookUp('prices.test')).toEqual([]);
    expect(await lookUp('prices.test')).toEqual(addresses('8.8.8.8'));
    expect(await lookUp('prices.test')).toEqual(refused('now has 10.0.0.1'));
  });

  it('refuses any other name that has an address which is not public, also where the own one is inside', async () => {
    const lookUp = guarded('db.internal', {
      'db.internal': [['10.0.0.1']],
      'other.internal': [['10.0.0.2']],
      'mixed.test': [['8.8.8.8', '::1']],
      'prices.test': [['8.8.8.8']],
    });
    await lookUp('db.internal');
    expect(await lookUp('other.internal')).toEqual(
      refused('a redirect leads to other.internal (10.0.0.2), which is not a public address'),
    );
    expect(await lookUp('mixed.test')).toEqual(refused('a redirect leads to mixed.test (::1)'));
    expect(await lookUp('prices.test')).toEqual(addresses('8.8.8.8'));
    // Another spelling is another name.
    expect(await lookUp('db.internal.')).toEqual(new Error('ENOTFOUND db.internal.'));
  });

  it('lets redirects lead to the address that the file names, and to no other that is not public', () => {
    const guard = new HostGuard({ named: '10.0.0.1' });
    expect(() => guard.check(new URL('http://10.0.0.1:81/x'))).not.toThrow();
    expect(() => guard.check(new URL('http://8.8.8.8/'))).not.toThrow();
    for (const url of ['http://10.0.0.2/', 'http://[::ffff:a00:1]/', 'http://0/', 'http://[64:ff9b::a00:1]/'])
      expect(() => guard.check(new URL(url)), url).toThrow(FeedError);
  });

  it('is asked by sockets, which connect to what it gave', async () => {
    const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo; // a TCP server has a port
    const outcome = async (named: string, autoSelectFamily: boolean) => {
      const guard = new HostGuard({
        named,
        lookUp: (_name, _options, callback) => callback(null, addresses('127.0.0.1')),
      });
      const socket = connect({ host: 'db.internal', port, lookup: guard.lookup, autoSelectFamily });
      return once(socket, 'connect').then(
        () => socket.destroy() && 'connected',
        (error) => error,
      );
    };
    for (const autoSelectFamily of [true, false]) {
      expect(await outcome('db.internal', autoSelectFamily)).toBe('connected');
      expect(await outcome('example.com', autoSelectFamily)).toEqual(refused('a redirect leads to'));
    }
    server.close();
  });

  it('passes on that a name does not exist', async () => {
    const guard = new HostGuard({ named: 'localhost' });
    const socket = connect({ host: 'no-such-host.invalid', port: 1, lookup: guard.lookup });
    const [error] = await once(socket, 'error').catch((thrown) => [thrown]);
    expect(String(error)).toMatch(/ENOTFOUND|EAI_AGAIN/);
  });
});
