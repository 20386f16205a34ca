import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf, runEntry, scheduleEntry } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

describe('GET /admin/schedules', () => {
  it('lists the schedules by name', async () => {
    expect(await (await server.call('GET /admin/schedules')).json()).toEqual({
      items: [scheduleEntry('alarm'), scheduleEntry('clock'), scheduleEntry('market')],
      next: null,
    });
  });

  it('goes on where the page before ended, also when that schedule is gone', async () => {
    const { items, next } = await server.list('/admin/schedules?limit=2');
    expect(items).toEqual([scheduleEntry('alarm'), scheduleEntry('clock')]);
    server.schedules.names.delete('clock');
    expect(await server.list(`/admin/schedules?limit=2&cursor=${next}`)).toEqual({
      items: [scheduleEntry('market')],
      next: null,
    });
  });
});

describe('GET /admin/schedules/{name}', () => {
  it('shows the schedule', async () => {
    expect(await (await server.call('GET /admin/schedules/clock')).json()).toEqual(scheduleEntry('clock'));
  });

  it('does not know every name', async () => {
    await problemOf(await server.call('GET /admin/schedules/tides'), 404);
  });
});

describe('GET /admin/schedules/{name}/runs', () => {
  it('lists the runs, newest first, page by page', async () => {
    const first = await server.list('/admin/schedules/clock/runs?limit=10');
    expect(first.items).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2].map(runEntry));
    expect(await server.list(`/admin/schedules/clock/runs?limit=10&cursor=${first.next}`)).toEqual({
      items: [1, 0].map(runEntry),
      next: null,
    });
  });

  it('does not know every name', async () => {
    await problemOf(await server.call('GET /admin/schedules/tides/runs'), 404);
  });
});

describe('GET /admin/schedules/{name}/explain', () => {
  it('tells the next ten runs in words and numbers', async () => {
    const response = await server.call('GET /admin/schedules/clock/explain');
    expect(await response.json()).toMatchObject({ schedule: 'clock', words: 'every 3 seconds' });
    expect(server.schedules.explained).toEqual([{ name: 'clock', fromMs: undefined, count: 10 }]);
  });

  it.each([
    ['2027-03-28T00:30:00Z', '2027-03-28T00:30:00.000Z'],
    ['2027-03-28T00:30:00.5Z', '2027-03-28T00:30:00.500Z'],
    ['2027-03-28T01:30:00%2B01:00', '2027-03-28T00:30:00.000Z'],
  ])('tells those after %s', async (from, instant) => {
    expect((await server.call(`GET /admin/schedules/clock/explain?from=${from}&count=100`)).status).toBe(200);
    expect(server.schedules.explained).toEqual([{ name: 'clock', fromMs: Date.parse(instant), count: 100 }]);
  });

  it.each([
    ['from=tomorrow', 'from'],
    ['from=', 'from'],
    ['from=1795197603001', 'from'],
    ['from=2027-03-28', 'from'],
    ['from=2027-02-30T00:00:00Z', 'from'],
    ['from=2027-03-28T00:30:00', 'from'],
    ['count=0', 'count'],
    ['count=101', 'count'],
    ['count=-1', 'count'],
    ['count=ten', 'count'],
    ['limit=5', 'limit'],
  ])('refuses ?%s', async (query, path) => {
    const response = await server.call(`GET /admin/schedules/clock/explain?${query}`);
    expect((await problemOf(response, 400)).errors).toMatchObject([{ path }]);
    expect(server.schedules.explained).toEqual([]);
  });

  it('does not know every name', async () => {
    await problemOf(await server.call('GET /admin/schedules/tides/explain'), 404);
  });
});

describe.each(['run', 'pause', 'resume'])('POST /admin/schedules/{name}/%s', (what) => {
  it('does it and answers the schedule', async () => {
    const response = await server.call(`POST /admin/schedules/clock/${what}`);
    expect(await response.json()).toEqual(scheduleEntry('clock'));
    expect(server.schedules.done).toEqual([`${what} clock`]);
  });

  it('does not know every name', async () => {
    await problemOf(await server.call(`POST /admin/schedules/tides/${what}`), 404);
    expect(server.schedules.done).toEqual([]);
  });
});
