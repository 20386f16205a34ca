import { describe, expect, test } from 'vitest';
import { FlushScheduler } from '../../src/hub/flush-scheduler.ts';
import { Batch, Frame } from '../../src/hub/frame.ts';
import { settled } from '../helpers/manual-clock.ts';
import { hubSettings, quiet } from './fixture.ts';

const frame = (text: string): Frame => new Frame(Buffer.from(text));

describe('a batch', () => {
  const [a, b, c] = [frame('a'), frame('b'), frame('c')];

  test('is the same for all that are sent the same in the same order, and joined once', () => {
    const first = new Batch(a);
    const one = first.with(b).with(c);
    const two = first.with(b).with(c);
    expect(one).toBe(two);
    expect(one.bytes()).toBe(two.bytes());
    expect(one.bytes().toString()).toBe('abc');
    expect(one.count).toBe(3);
    expect(one.frames()).toEqual([a, b, c]);
  });

  test('is another for another order, another frame or another length', () => {
    const first = new Map([a, b, c].map((each) => [each, new Batch(each)]));
    const texts = [
      [a, b],
      [b, a],
      [a, c],
      [a, b, c],
      [a, c, b],
      [c, a],
      [a, b],
    ].map((frames) =>
      frames
        .reduce((batch: Batch | undefined, frame) => batch?.with(frame) ?? first.get(frame), undefined)
        ?.bytes()
        .toString(),
    );
    expect(texts).toEqual(['ab', 'ba', 'ac', 'abc', 'acb', 'ca', 'ab']);
  });

  test('of one frame is that frame’s own buffer', () => {
    expect(new Batch(a).bytes()).toBe(a.bytes);
  });
});

/** Flushes that take so long each, written down in their order. */
function rig(sliceMs: number, flushMs: number) {
  let nowMs = 0;
  const flushed: string[] = [];
  let ends = 0;
  const scheduler = new FlushScheduler({
    clock: { monotonic: () => nowMs },
    settings: hubSettings({ fanoutSliceMs: sliceMs }),
    onFlushed: () => {
      ends++;
    },
  });
  const later = (name: string, then: () => void = () => {}) =>
    scheduler.flushLater({
      flush() {
        nowMs += flushMs;
        flushed.push(name);
        then();
        return 100;
      },
    });
  const round = (name: string, count: number) => {
    scheduler.newRound();
    for (let n = 0; n < count; n++) later(name);
  };
  return { scheduler, flushed, later, round, ends: () => ends };
}

describe('the flush scheduler', () => {
  test('flushes each outbox once at the end of the iteration, and says so', async () => {
    const { flushed, round, ends } = rig(10, 0);
    round('large', 1000);
    round('small', 3);
    expect(flushed).toEqual([]);
    await settled();
    expect(flushed).toHaveLength(1003);
    expect(ends()).toBe(1);
    await quiet();
    expect(ends()).toBe(1);
  });

  test('holds the event loop for a slice and a few writes, no longer', async () => {
    const { flushed, round, ends } = rig(10, 0.1);
    round('large', 1000);
    const slices: number[] = [];
    while (ends() === 0) {
      const before = flushed.length;
      await settled();
      slices.push(flushed.length - before);
    }
    expect(slices.reduce((sum, slice) => sum + slice)).toBe(1000);
    expect(Math.max(...slices) * 0.1).toBeLessThanOrEqual(10 + 64 * 0.1);
    expect(slices.length).toBeGreaterThan(5);
  });

  test('lets a small room go before a large one, whichever came first', async () => {
    const { flushed, round } = rig(10, 0.1);
    round('large', 1000);
    round('small', 2);
    await settled();
    expect(flushed.indexOf('small')).toBe(0);
  });

  test('lets a small room that becomes due in between go in the next slice', async () => {
    const { flushed, round } = rig(10, 0.1);
    round('large', 1000);
    await settled();
    const before = flushed.length;
    round('small', 2);
    await settled();
    expect(flushed.slice(before, before + 2)).toEqual(['small', 'small']);
    await quiet();
    await quiet();
    expect(flushed).toHaveLength(1002);
  });

  test('gives the oldest round its share, however many small ones come', async () => {
    const { flushed, round } = rig(10, 0.1);
    round('large', 1000);
    let slices = 0;
    while (flushed.filter((name) => name === 'large').length < 1000 && slices < 50) {
      for (let n = 0; n < 20; n++) round('small', 10);
      await settled();
      slices++;
    }
    expect(flushed.filter((name) => name === 'large')).toHaveLength(1000);
  });

  test('says that it is written although more becomes due all the time', async () => {
    const { scheduler, round } = rig(10, 0.1);
    round('first', 300);
    let isWritten = false;
    void scheduler.written().then(() => {
      isWritten = true;
    });
    let slices = 0;
    for (; !isWritten && slices < 50; slices++) {
      round('more', 300);
      await settled();
    }
    expect(slices).toBeLessThan(50);
    expect(scheduler.isBacklogged).toBe(true);
  });

  test('has one batch for those that begin with the same frame, and forgets it at its end', async () => {
    const { scheduler, round } = rig(10, 0.1);
    const a = frame('a');
    const batch = scheduler.batchOf(a);
    expect(scheduler.batchOf(a)).toBe(batch);
    round('due', 1);
    await settled();
    expect(scheduler.batchOf(a)).not.toBe(batch);
  });

  test('refills sockets that have room again after what is due, and a few of them in any case', async () => {
    const { scheduler, flushed, round } = rig(10, 0.1);
    const refill = (name: string) =>
      scheduler.refill(
        {
          flush() {
            flushed.push(name);
            return 64 * 1024;
          },
        },
        64 * 1024,
      );
    refill('at once');
    expect(flushed).toEqual(['at once']);
    round('due', 300);
    for (let n = 0; n < 20; n++) refill('later');
    expect(flushed).toHaveLength(1);
    await settled();
    const first = flushed.slice(1);
    expect(first.slice(0, 64)).toEqual(Array(64).fill('due'));
    expect(first.filter((name) => name === 'later')).toHaveLength(8);
    await quiet();
    expect(flushed.filter((name) => name === 'due')).toHaveLength(300);
    expect(flushed.filter((name) => name === 'later')).toHaveLength(20);
  });

  test('says while a slice was not enough, and when all is written', async () => {
    const { scheduler, flushed, round } = rig(10, 0.1);
    expect(scheduler.isBacklogged).toBe(false);
    await scheduler.written();
    round('large', 1000);
    const written = scheduler.written().then(() => flushed.length);
    await settled();
    expect(scheduler.isBacklogged).toBe(true);
    expect(await written).toBe(1000);
    expect(scheduler.isBacklogged).toBe(false);
  });

  test('takes what becomes due while it flushes', async () => {
    const { flushed, later } = rig(10, 0.1);
    later('first', () => later('second', () => later('third')));
    await quiet();
    expect(flushed).toEqual(['first', 'second', 'third']);
  });

  test('loses no outbox where a write begins a new round', async () => {
    const { flushed, later, round } = rig(10, 0.1);
    later('first', () => round('second', 2));
    await quiet();
    expect(flushed).toEqual(['first', 'second', 'second']);
  });

  test('gets on with slices of no length', async () => {
    const { flushed, round, ends } = rig(0, 0.1);
    round('large', 200);
    round('small', 1);
    await quiet();
    expect(flushed).toHaveLength(201);
    expect(ends()).toBe(1);
  });
});
