import { beforeEach, describe, expect, it } from 'vitest';
import { refusedConfig } from '../../src/admin/server.ts';
import { CONFIG, FakeServer, problemOf, STATS } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

describe('GET /admin/stats', () => {
  it('answers the statistics of the moment', async () => {
    expect(await (await server.call('GET /admin/stats')).json()).toEqual(STATS);
  });
});

describe('GET /admin/config', () => {
  it('answers what is in force, where it came from and what was wrong with the last reload', async () => {
    expect(await (await server.call('GET /admin/config')).json()).toEqual(CONFIG);
  });
});

describe('POST /admin/reload', () => {
  it('answers what became of the schedules', async () => {
    const response = await server.call('POST /admin/reload');
    expect(await response.json()).toEqual({
      added: ['a'],
      changed: [],
      removed: ['b', 'c'],
      kept: ['clock'],
      needsRestart: ['server.port'],
    });
    expect(server.service.reloads).toBe(1);
  });

  it('tells each fault of a configuration that it refuses', async () => {
    const faults = [
      { path: 'schedules[1].cron', message: '"x" is not a calendar pattern' },
      { path: '', message: 'unknown key "shedules"' },
    ];
    server.service.failure = refusedConfig('belfry.json', faults);
    const { errors, detail } = await problemOf(await server.call('POST /admin/reload'), 422);
    expect(errors).toEqual(faults);
    expect(detail).toBe(
      'belfry.json cannot be used, and the configuration in force stays: schedules[1].cron: "x" is not a calendar pattern; unknown key "shedules"',
    );
  });

  it.each(['GET', 'PUT', 'DELETE'])('is not done by %s', async (method) => {
    expect((await server.call(`${method} /admin/reload`)).status).toBe(405);
    expect(server.service.reloads).toBe(0);
  });
});

describe('GET /metrics', () => {
  it.each(['viewer-token', 'operator-token'])('is for who has a token: %s', async (token) => {
    const response = await server.call('GET /metrics', { token });
    expect(await response.text()).toBe('belfry_rooms 1\n');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4');
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('is not for others', async () => {
    await problemOf(await server.call('GET /metrics', { token: null }), 401);
    await problemOf(await server.call('GET /metrics', { token: 'wrong' }), 401);
    await problemOf(await server.call('GET /metrics?access_token=viewer-token', { token: null }), 401);
  });

  it('is for all where the configuration opens it, from the next request on', async () => {
    server.settings.server.openMetrics = true;
    expect((await server.call('GET /metrics', { token: null })).status).toBe(200);
    expect((await server.call('GET /metrics', { token: 'wrong' })).status).toBe(200);
    server.settings.server.openMetrics = false;
    expect((await server.call('GET /metrics', { token: null })).status).toBe(401);
  });
});
