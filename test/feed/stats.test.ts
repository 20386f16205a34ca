import { describe, expect, it } from 'vitest';
import { statsFeed } from '../../src/feed/computed.ts';
import { computed, faults, tick } from './fixture.ts';

describe('the stats feed', () => {
  it('gives the figures of the moment at each tick', () => {
    let rooms = 1;
    const feed = computed(statsFeed, {}, { stats: () => ({ rooms }) });
    expect(feed.compute(tick, 0)).toBe('{"rooms":1}');
    rooms = 2;
    expect(feed.compute(tick, 0)).toBe('{"rooms":2}');
  });

  it('has no options to get wrong', () => {
    expect(faults(statsFeed, {})).toEqual([]);
  });
});
