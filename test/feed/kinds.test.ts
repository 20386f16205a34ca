import { describe, expect, it } from 'vitest';
import { feedKinds } from '../../src/feed/kinds.ts';
import { isEventName, isServerEvent } from '../../src/hub/event.ts';

describe('the kinds of feed', () => {
  it('are those of the contract', () => {
    expect(feedKinds.map(({ type }) => type)).toEqual([
      'time',
      'message',
      'http',
      'file',
      'command',
      'stats',
    ]);
  });

  it.each(feedKinds)('$type describes itself and every option', (kind) => {
    expect(kind.description).toMatch(/^[A-Z].*\.$/);
    for (const [name, option] of Object.entries(kind.options.shape)) {
      expect.soft(option.description ?? name).toMatch(/^[A-Z].*\.$/);
    }
  });

  it.each(feedKinds)('$type can be the name of an event', ({ type }) => {
    expect(isEventName(type) && !isServerEvent(type)).toBe(true);
  });
});
