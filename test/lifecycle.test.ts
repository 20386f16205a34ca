import { EventEmitter, once } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../src/clock.ts';
import { Lifecycle } from '../src/lifecycle.ts';

describe('Lifecycle', () => {
  it('stops only when all that a failed start has opened is closed', async () => {
    const events: string[] = [];
    const socketsClosed = new EventEmitter();
    let isAbandoning = false;
    const lifecycle = new Lifecycle({
      clock: systemClock,
      settings: { current: { server: { drainSeconds: 0 } } },
      connections: { returnAfterMs: () => 0 },
      prepare: async () => {},
      begin() {
        throw new Error('a fault');
      },
      async abandon() {
        isAbandoning = true;
        await once(socketsClosed, 'all');
        events.push('abandoned');
      },
      end: async () => void events.push('ended'),
    });
    const failure = expect(lifecycle.start(async () => {})).rejects.toThrow('a fault');
    await vi.waitFor(() => expect(isAbandoning).toBe(true));
    const stopped = lifecycle.stop().then(() => events.push('stopped'));
    // All that could resolve by itself has done so.
    await new Promise(setImmediate);
    expect(events).toEqual([]);
    socketsClosed.emit('all');
    await stopped;
    expect(events).toEqual(['abandoned', 'ended', 'stopped']);
    expect(lifecycle.phase).toBe('stopped');
    await failure;
  });
});
