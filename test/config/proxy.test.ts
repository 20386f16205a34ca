import { describe, expect, test } from 'vitest';
import { ClientAddresses } from '../../src/access/client-address.ts';
import { trustedProxy } from '../../src/config/fields.ts';

describe('an entry of trustProxy', () => {
  test.each([
    '127.0.0.1',
    '10.0.0.0/8',
    '0.0.0.0/0',
    '192.0.2.7/32',
    '::1',
    'fd00::/8',
    '::/0',
    '10.1.2.3/8',
  ])('may be %s', (text) => {
    expect(trustedProxy.parse(text)).toBe(text);
    expect(() => new ClientAddresses([text])).not.toThrow();
  });

  test.each([
    '',
    'localhost',
    'proxy.example.com',
    '127.1',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.*',
    'fd00::/129',
    'fe80::1%eth0',
    ' 10.0.0.1',
    '10.0.0.1:80',
    '[::1]',
  ])('may not be %j', (text) => {
    const { error } = trustedProxy.safeParse(text);
    expect(error?.issues[0]?.message).toBe(
      `${JSON.stringify(text)} is not an address or a network: write one such as "127.0.0.1", "10.0.0.0/8" or "fd00::/8"`,
    );
  });
});
