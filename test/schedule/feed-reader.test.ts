import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { ReadFeed } from '../../src/feed/feed.ts';
import { FeedReader } from '../../src/schedule/feed-reader.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { START } from './fixture.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const TICK = { schedule: 'clock', due: START, previous: null, next: null };
const nothing = () => undefined;

/** Keeps only weak references to what it was asked with. */
class ForgetfulFeed implements ReadFeed {
  readonly signals: WeakRef<AbortSignal>[] = [];
  readonly #read: (signal: AbortSignal) => Promise<string>;

  constructor(read: (signal: AbortSignal) => Promise<string>) {
    this.#read = read;
  }

  read(_tick: unknown, signal: AbortSignal): Promise<string> {
    this.signals.push(new WeakRef(signal));
    return this.#read(signal);
  }

  get remembered(): number {
    return this.signals.filter((signal) => signal.deref() !== undefined).length;
  }
}

const ENDINGS: Readonly<Record<string, (signal: AbortSignal) => Promise<string>>> = {
  'give a value': async () => '1',
  fail: async () => {
    throw new Error('no');
  },
};

describe('FeedReader', () => {
  test.each(Object.keys(ENDINGS))(
    'keeps nothing of the reads before the last, where they %s',
    async (how) => {
      const feed = new ForgetfulFeed(ENDINGS[how] ?? (async () => ''));
      const reader = new FeedReader(new ManualClock(START), feed, 1000);
      for (let run = 0; run < 10; run++) await reader.run(TICK, nothing);
      // What a `WeakRef` gave or took is kept until the end of that turn.
      await nextTurn();
      collectGarbage();
      expect(feed.signals).toHaveLength(10);
      expect(feed.remembered).toBeLessThanOrEqual(1);
    },
  );

  test('keeps nothing of the reads that gave way to a run', async () => {
    const feed = new ForgetfulFeed(
      (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    );
    const clock = new ManualClock(START);
    const reader = new FeedReader(clock, feed, 1000);
    for (let run = 0; run < 10; run++) {
      void reader.request(TICK, nothing);
      const ran = reader.run(TICK, nothing);
      await nextTurn();
      await clock.advance(1000);
      await ran;
    }
    await nextTurn();
    collectGarbage();
    expect(feed.signals).toHaveLength(20);
    expect(feed.remembered).toBeLessThanOrEqual(1);
  });
});
