import { beforeEach, describe, expect, it } from 'vitest';
import { FailedAttempts } from '../../src/admin/guard.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const wrong = () => server.call('GET /admin/rooms', { token: 'wrong' });

async function fail(times: number): Promise<void> {
  for (let attempt = 0; attempt < times; attempt++) await problemOf(await wrong(), 401);
}

describe('an address that sent ten wrong tokens in a minute', () => {
  it('is told to come back when the minute is over, and its connection ends', async () => {
    await fail(1);
    server.clock.advance(20_000);
    await fail(9);
    const response = await wrong();
    expect(response.headers.get('retry-after')).toBe('40');
    expect(response.headers.get('connection')).toBe('close');
    expect((await problemOf(response, 429)).detail).toBe(
      '10 wrong tokens came from this address within a minute: send a right one, or try again in 40 s',
    );
  });

  it('gets in with a right token all the same: nobody there can lock out the operator', async () => {
    await fail(10);
    await problemOf(await wrong(), 429);
    expect((await server.call('GET /admin/rooms')).status).toBe(200);
    expect((await server.call('GET /metrics')).status).toBe(200);
    await problemOf(await wrong(), 429);
  });

  it('does not wait longer for trying on', async () => {
    await fail(10);
    server.clock.advance(59_999);
    await problemOf(await wrong(), 429);
    server.clock.advance(1);
    await fail(10);
    await problemOf(await wrong(), 429);
  });

  it('counts what is no token but sent as one', async () => {
    for (let attempt = 0; attempt < 10; attempt++) {
      const headers = { Authorization: 'Basic b3BzOmh1bnRlcjI=' };
      await problemOf(await server.call('GET /admin/rooms', { token: null, headers }), 401);
    }
    await problemOf(await wrong(), 429);
  });
});

describe('what counts as one address', () => {
  it.each([
    ['an IPv6 network of 64 bits', '2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
    ['this machine', '127.0.0.1', '::1'],
    ['the loopback network', '127.0.0.1', '127.4.5.6'],
    ['what comes without an address', '', ''],
  ])('is %s', async (_, first, second) => {
    server.address = first;
    await fail(5);
    server.address = second;
    await fail(5);
    await problemOf(await wrong(), 429);
    server.address = first;
    await problemOf(await wrong(), 429);
  });

  it.each([
    ['another IPv4 address', '192.0.2.7', '192.0.2.8'],
    ['another IPv6 network', '2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['another than this machine', '127.0.0.1', '192.0.2.7'],
    ['one where before there was none', '', '192.0.2.7'],
  ])('is not %s', async (_, first, second) => {
    server.address = first;
    await fail(10);
    server.address = second;
    await fail(10);
  });
});

describe('who sends no token', () => {
  it('guesses none, and harms nobody', async () => {
    for (let attempt = 0; attempt < 30; attempt++)
      await problemOf(await server.call('GET /admin/rooms', { token: null }), 401);
    await fail(10);
    await problemOf(await server.call('GET /admin/rooms', { token: null }), 401);
  });
});

describe('right tokens', () => {
  it('are not counted, nor do they make up for wrong ones', async () => {
    for (let attempt = 0; attempt < 30; attempt++) await server.call('GET /admin/rooms');
    await fail(9);
    expect((await server.call('GET /admin/rooms')).status).toBe(200);
    await fail(1);
    await problemOf(await wrong(), 429);
  });
});

describe('the addresses that are remembered', () => {
  const failTen = (attempts: FailedAttempts, address: string) => {
    for (let attempt = 0; attempt < 10; attempt++) attempts.failed(address);
  };
  const address = (number: number) => `10.0.${number >> 8}.${number & 255}`;

  it('are the newest four thousand or so', () => {
    const attempts = new FailedAttempts(new ManualClock());
    for (let number = 0; number <= 4096; number++) failTen(attempts, address(number));
    expect(() => attempts.failed(address(1))).toThrow('try again in 60 s');
    expect(() => attempts.failed(address(4096))).toThrow('try again in 60 s');
    expect(() => attempts.failed(address(0))).not.toThrow();
  });

  it('do not depend on the clock on the wall', () => {
    const clock = new ManualClock();
    const attempts = new FailedAttempts(clock);
    failTen(attempts, '192.0.2.7');
    clock.step(3_600_000);
    expect(() => attempts.failed('192.0.2.7')).toThrow('try again in 60 s');
    clock.step(-7_200_000);
    clock.advance(60_000);
    expect(() => attempts.failed('192.0.2.7')).not.toThrow();
  });
});
