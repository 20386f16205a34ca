import { pino } from 'pino';
import { expect, test } from 'vitest';
import { ManualClock } from '../helpers/manual-clock.ts';
import { embedded, TOKEN } from './embedded.ts';
import { visit } from './listeners.ts';
import { emptyFolder } from './process.ts';

test('a broadcast waits for its time, is sent once, and is counted where it was missed', async () => {
  const clock = new ManualClock();
  const warned: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void warned.push(line) });
  const { admin, url, belfry } = await embedded({}, { clock, logger });
  const member = await visit(`${url}/rooms/lobby`);
  const later = await admin('POST', '/broadcast', { rooms: 'lobby', data: 'later', in: '10s' });
  expect(later).toMatchObject({ status: 202, answer: { at: '2026-11-20T18:00:10.000Z' } });
  await admin('POST', '/broadcast', { rooms: 'lobby', data: 'missed', in: '30s' });
  const cancelled = await admin('POST', '/broadcast', { rooms: 'lobby', data: 'cancelled', in: '5s' });
  expect((await admin('DELETE', `/broadcasts/${cancelled.answer.id}`)).status).toBe(200);
  await clock.advanceSettled(10_000);
  expect(await member.received.find(({ event }) => event === 'message')).toMatchObject({ data: 'later' });

  clock.step(120_000);
  await clock.advanceSettled(2000);
  expect((await admin('GET', '/broadcasts')).answer.items).toMatchObject([
    { state: 'missed', data: 'missed' },
  ]);
  expect((await admin('GET', '/stats')).answer).toMatchObject({ broadcasts: { waiting: 0, missed: 1 } });
  expect(warned.join()).toContain('a broadcast was missed');
  await belfry.stop(AbortSignal.abort());
  expect(clock.pending).toBe(0);
});

test('what waits, its Idempotency-Key and what was missed outlive a restart with a store', async () => {
  const document = { store: { path: emptyFolder() }, rooms: [{ match: 'lobby', history: 10 }] };
  const clock = new ManualClock();
  const later = { rooms: 'lobby', data: 'later', in: '1h' };
  const soon = { rooms: 'lobby', data: 'soon', in: '1m' };
  const send = (url: string, body: object) =>
    fetch(`${url}/admin/broadcast`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'idempotency-key': 'k' },
      body: JSON.stringify(body),
    });
  const first = await embedded(document, { clock });
  const accepted = await (await send(first.url, later)).text();
  await first.admin('POST', '/broadcast', soon);
  await first.belfry.stop(AbortSignal.abort());

  clock.advance(600_000);
  const second = await embedded(document, { clock });
  await clock.advanceSettled(0);
  const { items } = (await second.admin('GET', '/broadcasts')).answer;
  expect(items).toMatchObject([
    { state: 'missed', data: 'soon' },
    { state: 'waiting', data: 'later', id: JSON.parse(accepted).id },
  ]);
  const again = await send(second.url, later);
  expect([again.status, await again.text()]).toEqual([202, accepted]);
  expect((await send(second.url, soon)).status).toBe(422);
  await clock.advanceSettled(3_000_000);
  const member = await visit(`${second.url}/rooms/lobby`);
  expect(await member.received.find(({ event }) => event === 'message')).toMatchObject({ data: 'later' });
  expect((await second.admin('GET', '/broadcasts')).answer.items).toHaveLength(1);
});
