import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf, scheduleEntry } from './fakes.ts';

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
