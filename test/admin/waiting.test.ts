import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const Accepted = z.strictObject({ id: z.string(), at: z.string() });
const Page = z.strictObject({
  items: z.array(z.looseObject({ id: z.string() })),
  next: z.string().nullable(),
});
const list = async (query = '') =>
  Page.parse(await (await server.call(`GET /admin/broadcasts${query}`)).json());

async function wait(more: object): Promise<string> {
  const answer = await server.broadcast({ data: 1, ...more });
  expect(answer.status).toBe(202);
  return Accepted.parse(await answer.json()).id;
}

describe('a broadcast with a time', () => {
  it.each([
    [{ at: '2026-11-20T18:10:00Z' }, '2026-11-20T18:10:00.000Z'],
    [{ at: '2026-11-20T19:10:00.5+01:00' }, '2026-11-20T18:10:00.500Z'],
    [{ in: '90s' }, '2026-11-20T18:01:30.000Z'],
    [{ in: '1.5ms' }, '2026-11-20T18:00:00.002Z'],
    [{ in: '0s', missedWithin: '1d' }, '2026-11-20T18:00:00.000Z'],
  ])('%j is accepted with 202, and listed', async (when, at) => {
    const id = await wait({ rooms: 'lobby', ...when });
    expect(await list()).toMatchObject({ items: [{ id, at, rooms: ['lobby'], event: 'message', data: 1 }] });
    expect(server.hub.published.filter(({ dryRun }) => !dryRun)).toEqual([]);
  });

  it.each([
    [{ at: 'tomorrow' }, 'at', /"tomorrow" is not an instant: such as 2026-11-20T18:00:00Z/],
    [{ at: '2026-11-20' }, 'at', /is not an instant/],
    [{ at: 1795197603001 }, 'at', /expected a string: such as/],
    [{ at: null }, 'at', /expected a string/],
    [{ at: '2026-11-20T17:59:58Z' }, 'at', /"2026-11-20T17:59:58.000Z" has passed/],
    [{ at: '2028-01-01T00:00:00Z' }, 'at', /is too far: at most 366 days/],
    [{ in: '5' }, 'in', /"5" is not a duration/],
    [{ in: 5 }, 'in', /expected a string/],
    [{ in: '-1s' }, 'in', /is not a duration/],
    [{ in: '367d' }, 'in', /at most 366d/],
    [{ at: '2026-11-20T18:10:00Z', in: '5m' }, 'in', /^at and in exclude each other/],
    [{ in: '5m', missedWithin: '1' }, 'missedWithin', /is not a duration/],
    [{ in: '5m', missedWithin: '0s' }, 'missedWithin', /at least 1s/],
    [{ in: '5m', missedWithin: '10ms' }, 'missedWithin', /"10ms" is not a duration: .*, and at least 1s/],
    [{ missedWithin: '1m' }, 'missedWithin', /only a broadcast with at or in/],
    [{ at: '2026-11-20T17:00:00Z', dryRun: true }, 'at', /has passed/],
  ])('%j is refused', async (when, path, message) => {
    const { errors } = await problemOf(await server.broadcast({ data: 1, ...when }), 400);
    expect(errors).toHaveLength(1);
    expect(errors?.[0]?.path).toBe(path);
    expect(errors?.[0]?.message).toMatch(message);
    expect((await list()).items).toEqual([]);
  });

  it('and dryRun answers what it would reach now, and keeps nothing', async () => {
    const answer = await server.broadcast({ data: 1, in: '1h', dryRun: true });
    expect([answer.status, await answer.json()]).toMatchObject([200, { connections: 3 }]);
    expect((await list()).items).toEqual([]);
  });

  it('waits once, however often it comes with one Idempotency-Key, also after its time', async () => {
    const send = () => server.broadcast({ data: 1, at: '2026-11-20T18:00:01Z' }, { 'Idempotency-Key': 'k' });
    const first = await (await send()).text();
    server.clock.advance(60_000);
    const second = await send();
    expect([second.status, await second.text()]).toEqual([202, first]);
    expect((await list()).items).toHaveLength(1);
  });
});

describe('/admin/broadcasts', () => {
  it('lists them in the order of their times, in pages', async () => {
    const [third, first, second] = [
      await wait({ in: '3s' }),
      await wait({ in: '1s' }),
      await wait({ in: '2s' }),
    ];
    const page = await list('?limit=2');
    expect(page.items.map(({ id }) => id)).toEqual([first, second]);
    const rest = await list(`?limit=2&cursor=${page.next}`);
    expect([rest.items.map(({ id }) => id), rest.next]).toEqual([[third], null]);
  });

  it('shows all that was sent, data as it is', async () => {
    const more = { devices: 'wall', except: ['q'], event: 'notice', data: { é: [1] } };
    const id = await wait({ ...more, rooms: ['a', 'b'], key: 'k', ttl: '1m', in: '1s', missedWithin: '5m' });
    expect((await list()).items).toEqual([
      {
        id,
        at: '2026-11-20T18:00:01.000Z',
        state: 'waiting',
        reason: null,
        missedWithinMs: 300_000,
        rooms: ['a', 'b'],
        devices: ['wall'],
        except: ['q'],
        event: 'notice',
        key: 'k',
        ttlMs: 60_000,
        data: { é: [1] },
      },
    ]);
  });

  it('cancels', async () => {
    const id = await wait({ in: '1s' });
    const cancelled = await server.call(`DELETE /admin/broadcasts/${id}`);
    expect(await cancelled.json()).toEqual({ id, at: '2026-11-20T18:00:01.000Z' });
    await problemOf(await server.call(`DELETE /admin/broadcasts/${id}`), 404);
    expect((await list()).items).toEqual([]);
  });

  it.each([
    ['GET /admin/broadcasts?limit=0', 400],
    ['GET /admin/broadcasts?cursor=x', 400],
    ['GET /admin/broadcasts?state=missed', 400],
    ['DELETE /admin/broadcasts/x?reason=y', 400],
    ['DELETE /admin/broadcasts/x', 404],
    ['POST /admin/broadcasts', 405],
    ['GET /admin/broadcast', 405],
  ])('%s is refused with %i', async (call, status) => {
    await problemOf(await server.call(call), status);
  });
});
