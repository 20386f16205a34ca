import { expect, test } from 'vitest';
import { Backpressure } from '../../src/hub/backpressure.ts';
import { settled } from '../helpers/manual-clock.ts';

function rig() {
  let isBacklogged = false;
  const backpressure = new Backpressure({ maxPerIteration: 64, isBlocked: () => isBacklogged });
  const passed: number[] = [];
  const line = (number: number) => {
    const ready = backpressure.ready();
    if (ready) void ready.then(() => passed.push(number));
    else passed.push(number);
  };
  return {
    line,
    passed,
    backlog(on: boolean) {
      isBacklogged = on;
    },
  };
}

const numbers = (count: number) => Array.from({ length: count }, (_, number) => number);

test('a line passes at once where nothing is behind', () => {
  const { line, passed } = rig();
  for (const number of numbers(10)) line(number);
  expect(passed).toEqual(numbers(10));
});

test('a bounded number of lines passes in one iteration, the others in the next ones and in their order', async () => {
  const { line, passed } = rig();
  for (const number of numbers(200)) line(number);
  const first = passed.length;
  expect(first).toBeLessThan(100);
  await settled();
  line(200);
  expect(passed.length).toBeLessThanOrEqual(2 * first);
  for (let turns = 0; turns < 5; turns++) await settled();
  expect(passed).toEqual(numbers(201));
});

test('what one line does can stop the next', async () => {
  let budget = 2;
  const backpressure = new Backpressure({
    maxPerIteration: 64,
    isBlocked: () => budget <= 0,
    onIteration: () => {
      budget = 2;
    },
  });
  const turns: number[] = [];
  let turn = 0;
  const line = async () => {
    await backpressure.ready();
    budget--;
    turns.push(turn);
  };
  for (let n = 0; n < 6; n++) {
    void line();
    await Promise.resolve();
  }
  for (; turn < 4; turn++) await settled();
  expect(turns).toEqual([0, 0, 0, 0, 1, 1]);
});

test('one line passes in an iteration while what is due has not been written, the others afterwards', async () => {
  const { line, passed, backlog } = rig();
  backlog(true);
  for (const number of numbers(10)) line(number);
  expect(passed).toEqual([0]);
  await settled();
  await settled();
  expect(passed.length).toBeLessThanOrEqual(3);
  backlog(false);
  await settled();
  await settled();
  expect(passed).toEqual(numbers(10));
});
