import { describe, expect, test } from 'vitest';
import { Rooms } from '../../src/hub/room.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { hubSettings } from './fixture.ts';

const rooms = () =>
  new Rooms({
    clock: new ManualClock(),
    settings: hubSettings(),
    scheduler: { newRound() {} },
    onLockEnded() {},
  });
const namesOf = (matching: Iterable<{ name: string }>) => [...matching].map(({ name }) => name).sort();

describe('the rooms that patterns describe', () => {
  test('are kept up to date as rooms come and go', () => {
    const all = rooms();
    for (const name of ['ops-1', 'lobby', 'ops-2']) all.open(name);
    expect(namesOf(all.matching(['ops-*']))).toEqual(['ops-1', 'ops-2']);
    all.open('ops-3');
    all.open('attic');
    const first = all.open('ops-1');
    all.forget(first);
    expect(namesOf(all.matching(['ops-*']))).toEqual(['ops-2', 'ops-3']);
    expect(namesOf(all.matching(['ops-*', 'lobby']))).toEqual(['lobby', 'ops-2', 'ops-3']);
    expect(namesOf(all.matching(['*']))).toEqual(['attic', 'lobby', 'ops-2', 'ops-3']);
    all.clear();
    expect(namesOf(all.matching(['*']))).toEqual([]);
  });

  test('are looked for once, however often they are asked for', () => {
    const all = rooms();
    for (let n = 0; n < 100; n++) all.open(`room-${n}`);
    expect(all.matching(['foreign-*'])).toBe(all.matching(['foreign-*']));
  });

  test('of very many lists are right although not all are kept', () => {
    const all = rooms();
    for (let n = 0; n < 1100; n++) expect(namesOf(all.matching([`room-${n}*`]))).toEqual([]);
    all.open('room-7');
    all.open('room-1099');
    expect(namesOf(all.matching(['room-7*']))).toEqual(['room-7']);
    expect(namesOf(all.matching(['room-1099*']))).toEqual(['room-1099']);
  });

  test('named exactly are each there once', () => {
    const all = rooms();
    all.open('lobby');
    expect(namesOf(all.matching(['lobby', 'lobby', 'none']))).toEqual(['lobby']);
  });
});
