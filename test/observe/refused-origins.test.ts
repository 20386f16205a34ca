import { beforeEach, describe, expect, it } from 'vitest';
import { RefusedOrigins } from '../../src/observe/refused-origins.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

let clock: ManualClock;
let lines: string[];
let origins: RefusedOrigins;
beforeEach(() => {
  clock = new ManualClock();
  lines = [];
  origins = new RefusedOrigins(clock, (detail) => lines.push(detail));
});

describe('an origin that is refused', () => {
  it('is logged once a minute, however often it comes', () => {
    for (let second = 0; second < 61; second++) {
      origins.refused('https://x', `at ${second} s`);
      clock.advance(1000);
    }
    expect(lines).toEqual(['at 0 s', 'at 60 s']);
  });

  it('does not silence another', () => {
    origins.refused('https://x', 'x');
    origins.refused('https://y', 'y');
    expect(lines).toEqual(['x', 'y']);
  });

  it('is one of a thousand at most, until a minute has passed', () => {
    for (let origin = 0; origin < 5000; origin++) origins.refused(`https://${origin}`, 'refused');
    expect(lines).toHaveLength(1000);
    clock.advance(60_000);
    origins.refused('https://late', 'late');
    expect(lines.at(-1)).toBe('late');
  });
});
