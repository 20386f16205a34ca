import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { guardedLookup, isPublic } from '../../src/feed/address.ts';

describe('isPublic', () => {
  it.each(['8.8.8.8', '1.1.1.1', '100.63.255.255', '172.32.0.1', '2606:4700::1111', '::ffff:8.8.8.8'])(
    '%s is public',
    (address) => {
      expect(isPublic(address)).toBe(true);
    },
  );

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
    ['IPv4-translated loopback', '::ffff:0:127.0.0.1'],
    ['NAT64 of loopback', '64:ff9b::7f00:1'],
    ['6to4 of loopback', '2002:7f00:1::'],
    ['Teredo', '2001::1'],
    ['no address', 'example.com'],
    ['no address', '127.1'],
    ['no address', ''],
  ])('%s is not: %s', (_what, address) => {
    expect(isPublic(address)).toBe(false);
  });
});

describe('guardedLookup', () => {
  async function outcome(named: string, autoSelectFamily: boolean): Promise<string> {
    const server = createServer((socket) => socket.end()).listen(0, 'localhost');
    await once(server, 'listening');
    const { port } = server.address() as { port: number }; // a TCP server has a port
    const socket = connect({ host: 'localhost', port, lookup: guardedLookup(named), autoSelectFamily });
    try {
      await once(socket, 'connect');
      return 'connected';
    } catch (error) {
      return String(error);
    } finally {
      socket.destroy();
      server.close();
    }
  }

  it.each([true, false])(
    'lets a socket go where the name is the one given (all addresses: %s)',
    async (all) => {
      expect(await outcome('localhost', all)).toBe('connected');
    },
  );

  it.each([true, false])('refuses another name that is looked up to loopback (all: %s)', async (all) => {
    expect(await outcome('example.com', all)).toMatch(
      /a redirect leads to localhost \((127\.0\.0\.1|::1)\), which is not a public address/,
    );
  });

  it('passes on that a name does not exist', async () => {
    const socket = connect({ host: 'no-such-host.invalid', port: 1, lookup: guardedLookup('localhost') });
    const [error] = await once(socket, 'error').catch((thrown) => [thrown]);
    expect(String(error)).toMatch(/ENOTFOUND|EAI_AGAIN/);
  });
});
