import { expect, test } from 'vitest';
import { StoreCommits } from '../../src/log/store-commits.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** A database that commits when it is told to. */
function database() {
  const ends: (() => void)[] = [];
  const batch = () => new Promise<boolean>((resolve) => ends.push(() => resolve(true)));
  return { ends, root: { batch } };
}

test('a commit that never ends fails after 30 s, with all others, and nothing is committed afterwards', async () => {
  const clock = new ManualClock();
  const { root, ends } = database();
  const commits = new StoreCommits(root, clock);
  const [first, second] = [commits.commit(() => {}), commits.commit(() => {})];
  const outcomes = Promise.allSettled([first, second]);
  await clock.advanceSettled(29_000);
  expect(commits.failure).toBeUndefined();
  await clock.advanceSettled(2000);
  expect(commits.failure?.message).toContain('has not answered for 30 s');
  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(commits.commit(() => {})).rejects.toBe(commits.failure);
  expect([ends.length, clock.pending]).toEqual([2, 0]);
});

test('commits that end are no failure, and a clock that jumps is none', async () => {
  const clock = new ManualClock();
  const { root, ends } = database();
  const commits = new StoreCommits(root, clock);
  for (let second = 0; second < 60; second++) {
    const commit = commits.commit(() => {});
    await clock.advanceSettled(1000);
    ends.shift()?.();
    await commit;
  }
  const last = commits.commit(() => {});
  clock.advance(3_600_000);
  ends.shift()?.();
  await last;
  expect(commits.failure).toBeUndefined();
  commits.stop();
  expect(clock.pending).toBe(0);
});

test('a failed commit rejects with its cause', async () => {
  const batch = async () => {
    const cause = new Error('No space left');
    const commitError = new Promise<never>((_, reject) => setImmediate(() => reject(cause)));
    throw Object.assign(new Error('Commit failed'), { commitError });
  };
  const commits = new StoreCommits({ batch }, new ManualClock());
  await expect(commits.commit(() => {})).rejects.toThrow('No space left');
  commits.stop();
});
