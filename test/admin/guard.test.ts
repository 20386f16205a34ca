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

describe('who fails ten times in a minute', () => {
  it('is told to come back when the minute is over', async () => {
    await fail(1);
    server.clock.advance(20_000);
    await fail(9);
    const response = await wrong();
    expect(response.headers.get('retry-after')).toBe('40');
    expect((await problemOf(response, 429)).detail).toBe(
      '10 wrong tokens came from this address within a minute: come back in 40 s',
    );
  });

  it('is not listened to even with a right token, which would be told from the wrong ones otherwise', async () => {
    await fail(10);
    await problemOf(await server.call('GET /admin/rooms'), 429);
    await problemOf(await server.call('GET /metrics'), 429);
    server.clock.advance(60_000);
    expect((await server.call('GET /admin/rooms')).status).toBe(200);
  });

  it('does not wait longer for trying on', async () => {
    await fail(10);
    server.clock.advance(59_999);
    await problemOf(await wrong(), 429);
    server.clock.advance(1);
    await fail(10);
    await problemOf(await wrong(), 429);
  });

  it('stops nobody at another address', async () => {
    await fail(10);
    server.address = '192.0.2.8';
    expect((await server.call('GET /admin/rooms')).status).toBe(200);
  });

  it('may be exempt by the address', async () => {
    server.address = '127.0.0.1';
    await fail(30);
    expect((await server.call('GET /admin/rooms')).status).toBe(200);
  });

  it('counts what is no token but sent as one', async () => {
    for (let attempt = 0; attempt < 10; attempt++) {
      const headers = { Authorization: 'Basic b3BzOmh1bnRlcjI=' };
      await problemOf(await server.call('GET /admin/rooms', { token: null, headers }), 401);
    }
    await problemOf(await wrong(), 429);
  });
});

describe('who sends no token', () => {
  it('guesses none, and harms nobody', async () => {
    for (let attempt = 0; attempt < 30; attempt++)
      await problemOf(await server.call('GET /admin/rooms', { token: null }), 401);
    expect((await server.call('GET /admin/rooms')).status).toBe(200);
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

  it('are the newest four thousand or so', () => {
    const attempts = new FailedAttempts({ clock: new ManualClock(), appliesTo: () => true });
    for (let address = 0; address <= 4096; address++) failTen(attempts, `host-${address}`);
    expect(() => attempts.check('host-0')).not.toThrow();
    expect(() => attempts.check('host-1')).toThrow('come back in 60 s');
    expect(() => attempts.check('host-4096')).toThrow('come back in 60 s');
  });

  it('do not depend on the clock on the wall', () => {
    const clock = new ManualClock();
    const attempts = new FailedAttempts({ clock, appliesTo: () => true });
    failTen(attempts, 'a');
    clock.step(3_600_000);
    expect(() => attempts.check('a')).toThrow('come back in 60 s');
    clock.step(-7_200_000);
    clock.advance(60_000);
    expect(() => attempts.check('a')).not.toThrow();
  });
});
