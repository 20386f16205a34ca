import { describe, expect, test } from 'vitest';
import type { Outbox } from '../../src/hub/outbox.ts';
import { KIB, quiet } from './fixture.ts';
import { filler, LIMITS, rig, stalled, tick } from './outbox-fixture.ts';

describe('the limits of slow consumers', () => {
  const fill = async (outbox: Outbox, bytes: number) => {
    while (outbox.unsentBytes <= bytes) {
      outbox.push(filler);
      await quiet();
    }
  };

  test('close a client that is above maxBufferedBytes for slowSeconds', async () => {
    const { outbox, sink, clock, tooSlow } = await stalled();
    await fill(outbox, LIMITS.maxBufferedBytes);
    clock.advance(4900);
    expect(tooSlow).toEqual([]);
    clock.advance(600);
    expect(tooSlow).toEqual(['one']);
    expect(sink.closed?.code).toBe(4101);
    clock.advance(500);
    expect(clock.pending).toBe(0);
  });

  test('close no client that was above it and came below in time', async () => {
    const { outbox, sink, clock, tooSlow } = await stalled();
    await fill(outbox, LIMITS.maxBufferedBytes);
    clock.advance(4000);
    sink.take();
    outbox.push(tick(1));
    clock.advance(500);
    await fill(outbox, LIMITS.maxBufferedBytes);
    clock.advance(4500);
    expect(tooSlow).toEqual([]);
    clock.advance(1000);
    expect(tooSlow).toEqual(['one']);
  });

  test('close no client that is behind by less, however long: its ticks are replaced', async () => {
    const { outbox, clock, tooSlow, sink } = await stalled();
    for (let n = 0; n < 1000; n++) {
      outbox.push(tick(n));
      if (n === 0) await quiet();
      clock.advance(1000);
    }
    expect(tooSlow).toEqual([]);
    expect(outbox.unsentBytes).toBeLessThan(100 * KIB);
    sink.wake();
    expect(sink.seen).toMatchObject([{ data: 999, conflated: 999 }]);
  });

  test('close a client that is above twice as much at once', async () => {
    const { outbox, tooSlow, clock } = await stalled();
    for (let n = 0; n < 28; n++) outbox.push(filler);
    await quiet();
    expect([tooSlow, clock.monotonic()]).toEqual([[], 0]);
    for (let n = 0; n < 2; n++) outbox.push(filler);
    clock.advance(500);
    expect(tooSlow).toEqual(['one']);
  });

  test('close a client that comes that far in one iteration when it is written', async () => {
    const { outbox, tooSlow } = await stalled();
    for (let n = 0; n < 30; n++) outbox.push(filler);
    await quiet();
    expect(tooSlow).toEqual(['one']);
  });

  test('are looked at when queues have grown by much, however long nothing is flushed', async () => {
    const { make, tooSlow } = rig({ totalBufferedBytes: 2000 * KIB });
    for (let n = 0; n < 40; n++) {
      const { outbox } = make(`peer ${n}`);
      outbox.waitForPeer(60 * KIB);
      await Promise.resolve();
    }
    expect(tooSlow.length).toBeGreaterThan(0);
    expect(tooSlow.length).toBeLessThan(12);
  });

  test('count answers that are not read, and cut the largest of them; one alone may be large', async () => {
    const { slowConsumers, clock, make, tooSlow } = rig({ totalBufferedBytes: 5000 * KIB });
    const cut: number[] = [];
    const answers = [3000, 1000].map((size) => ({
      unsentBytes: size * KIB,
      cut() {
        cut.push(size);
        slowConsumers.remove(this);
      },
    }));
    for (const answer of answers) {
      slowConsumers.add(answer);
      slowConsumers.grew(answer.unsentBytes);
    }
    clock.advance(6000);
    expect(cut).toEqual([]);
    make().outbox.waitForPeer(900 * KIB);
    make('two').outbox.waitForPeer(900 * KIB);
    await Promise.resolve();
    expect([cut, tooSlow]).toEqual([[3000], []]);
  });

  test('close very many a part at a time', async () => {
    const { make, tooSlow, clock } = rig({ totalBufferedBytes: 100 * KIB });
    for (let n = 0; n < 700; n++) make(`peer ${n}`).outbox.waitForPeer(1 * KIB);
    await Promise.resolve();
    expect(tooSlow).toHaveLength(256);
    clock.advance(1);
    expect(tooSlow).toHaveLength(600);
  });

  test('close the slowest first where all together have too much unsent', async () => {
    const { make, tooSlow, slowConsumers } = rig({ totalBufferedBytes: 2000 * KIB });
    const guests = [3, 9, 5, 7].map((size) => ({ size, ...make(`size ${size}`) }));
    for (const { sink, outbox, size } of guests) {
      sink.stalled = true;
      outbox.push(filler);
      await quiet();
      for (let n = 1; n < size; n++) outbox.push(filler);
    }
    await quiet();
    slowConsumers.check();
    expect(tooSlow).toEqual([]);
    for (const { outbox } of guests) for (let n = 0; n < 3; n++) outbox.push(filler);
    slowConsumers.check();
    // 36 times 70 KiB are 520 KiB too much, and the slowest holds 840 of them.
    expect(tooSlow).toEqual(['size 9']);
    slowConsumers.check();
    expect(tooSlow).toEqual(['size 9']);
  });
});
