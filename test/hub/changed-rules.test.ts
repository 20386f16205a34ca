import { expect, test } from 'vitest';
import { dataOf, quiet, stage } from './fixture.ts';

const KIB = 1024;

test.each([
  ['keeps each tick once its rule wants that', true, [1, 2, 3, 4, 5]],
  ['replaces ticks once its rule allows it', false, [5]],
])('a room that exists already %s', async (_what, before, ticks) => {
  const { settings, visit, say, tick } = await stage();
  settings.current = { ...settings.current, conflates: () => before };
  const { sink } = await visit('a');
  settings.current = { ...settings.current, conflates: () => !before };
  sink.stalled = true;
  for (const n of [1, 2]) await say('a', `${n}`.padEnd(60 * KIB));
  for (let n = 1; n <= 5; n++) {
    tick('a', n);
    await quiet();
  }
  sink.wake();
  expect(dataOf(sink.seen).slice(2)).toEqual(ticks);
});
