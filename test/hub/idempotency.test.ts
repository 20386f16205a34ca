import { describe, expect, test } from 'vitest';
import { IdempotencyKeys } from '../../src/hub/idempotency.ts';
import type { Published } from '../../src/hub/publication.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { quiet, type Stage, stage } from './fixture.ts';

const HOUR_MS = 3_600_000;

async function keysOn({ clock, log }: Stage, limits: { keys?: number; bytes?: number } = {}) {
  const { keys = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY } = limits;
  const settings = { current: { limits: { idempotencyKeys: keys, idempotencyBytes: bytes } } };
  const idempotency = new IdempotencyKeys({ clock, log, settings });
  await idempotency.start();
  return idempotency;
}

/** Publishes once for each key; counts what was published. */
async function sender(on: Stage, limits?: { keys?: number; bytes?: number }) {
  const idempotency = await keysOn(on, limits);
  const send = (key: string, hash = 'h', sender = 'ops') =>
    idempotency.once<Published>({ sender, key, hash }, (changesOf) =>
      on.hub.publish({ target: { rooms: ['a'] }, event: 'message', data: '1' }, { changesOf }),
    );
  return { send };
}

describe('a request with an Idempotency-Key', () => {
  test('answers as the first time, and sends nothing again', async () => {
    const on = await stage();
    const { send } = await sender(on);
    const { sink } = await on.visit('a');
    const first = await send('k');
    expect(first).toMatchObject({ rooms: ['a'], connections: 1 });
    await on.visit('a');
    expect(await send('k')).toEqual(first);
    expect((await send('other')).connections).toBe(2);
    await quiet();
    expect(sink.news()).toHaveLength(2);
  });

  test('is refused with 422 where the same key comes with another body, also while the first is running', async () => {
    const on = await stage();
    const { send } = await sender(on);
    on.log.stored.shut();
    const first = send('k');
    await quiet();
    await expect(send('k', 'other')).rejects.toMatchObject({ status: 422 });
    on.log.stored.open();
    await first;
    await expect(send('k', 'other')).rejects.toThrow('"k" came with another request before');
  });

  test('waits for the first that is still running, and answers when that is stored', async () => {
    const on = await stage();
    const { send } = await sender(on);
    on.log.stored.shut();
    const answered: string[] = [];
    const first = send('k').then((answer) => answered.push('first') && answer);
    const second = send('k').then((answer) => answered.push('second') && answer);
    await quiet();
    expect(answered).toEqual([]);
    on.log.stored.open();
    expect(await second).toEqual(await first);
    expect(answered).toEqual(['first', 'second']);
    expect(on.log.appends).toHaveLength(1);
  });

  test('is sent by a retry where the first was refused', async () => {
    const on = await stage();
    const { send } = await sender(on);
    on.log.appendFailure = new Error('disk full');
    const [first, second] = [send('k'), send('k')];
    await expect(first).rejects.toMatchObject({ status: 503 });
    await expect(second).rejects.toMatchObject({ status: 503 });
    on.log.appendFailure = undefined;
    expect((await send('k')).id).not.toBeNull();

    on.log.storedFailure = new Error('disk full');
    await expect(send('other')).rejects.toMatchObject({ status: 503 });
    on.log.storedFailure = undefined;
    expect((await send('other')).id).not.toBeNull();
  });

  test('is known after a restart, with its answer', async () => {
    const on = await stage();
    await on.visit('a');
    const first = await (await sender(on)).send('k');
    const hub = await on.restart();
    const { send } = await sender({ ...on, hub });
    expect(await send('k')).toEqual(first);
    await expect(send('k', 'other')).rejects.toMatchObject({ status: 422 });
    expect(on.log.appends).toHaveLength(1);
  });

  test('has keys for each sender apart', async () => {
    const on = await stage();
    const { send } = await sender(on);
    const { id } = await send('k', 'h', 'ops');
    expect((await send('k', 'other', 'wall')).id).not.toBe(id);
    expect((await send('k', 'h', 'ops')).id).toBe(id);
  });

  test('is forgotten after 24 hours, in the log too', async () => {
    const clock = new ManualClock();
    const on = await stage({ clock });
    const { send } = await sender(on);
    const { id } = await send('k');
    clock.advance(24 * HOUR_MS - 1);
    expect((await send('k')).id).toBe(id);
    clock.advance(1);
    expect((await send('k', 'other')).id).not.toBe(id);
    clock.advance(24 * HOUR_MS);
    await send('next');
    expect((await on.log.records('idempotency')).size).toBe(1);
  });

  test('is forgotten before where there are too many, the oldest first', async () => {
    const on = await stage();
    const { send } = await sender(on, { keys: 2 });
    const [a, b, c] = [await send('a'), await send('b'), await send('c')];
    expect((await on.log.records('idempotency')).size).toBe(2);
    expect([(await send('b')).id, (await send('c')).id]).toEqual([b.id, c.id]);
    expect((await send('a')).id).not.toBe(a.id);
  });

  test('is forgotten before where the answers are too large, but never the newest', async () => {
    const on = await stage();
    const { send } = await sender(on, { bytes: 1 });
    const a = await send('a');
    expect(await send('a')).toEqual(a);
    await send('b');
    expect((await on.log.records('idempotency')).size).toBe(1);
  });

  test('keeps what goes to devices alone, which no log numbers', async () => {
    const on = await stage();
    const keys = await keysOn(on);
    const { sink } = await on.visit('a', { device: 'wall' });
    const send = () =>
      keys.once<Published>({ sender: 'ops', key: 'k', hash: 'h' }, (changesOf) =>
        on.hub.publish({ target: { devices: ['wall'] }, event: 'message', data: '1' }, { changesOf }),
      );
    const first = await send();
    expect(first).toMatchObject({ id: null, connections: 1 });
    expect(await send()).toEqual(first);
    await quiet();
    expect(sink.news()).toHaveLength(1);
  });
});
