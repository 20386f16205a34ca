import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/client/messages.ts';
import { RecentIds } from '../../src/client/recent-ids.ts';
import { Retained } from '../../src/client/retained.ts';

const message = (data: unknown, more: Partial<Message> = {}): Message => ({
  room: 'lobby',
  event: 'message',
  time: '2026-11-20T18:00:00.000Z',
  data,
  ...more,
});

describe('Retained', () => {
  it('keeps the newest of each room and key, the newest last', () => {
    const retained = new Retained();
    retained.put('lobby lunch', message('soup'));
    retained.put('ops lunch', message('none', { room: 'ops' }));
    retained.put('lobby lunch', message('fish'));
    expect([...retained.map].map(([name, { data }]) => [name, data])).toEqual([
      ['ops lunch', 'none'],
      ['lobby lunch', 'fish'],
    ]);
  });

  it('drops what has ended', () => {
    const retained = new Retained();
    retained.put('lobby lunch', message('soup', { until: '2026-11-20T18:00:05.000Z' }));
    expect(retained.expire(Date.parse('2026-11-20T18:00:04.999Z'))).toBe(false);
    expect(retained.map.size).toBe(1);
    expect(retained.expire(Date.parse('2026-11-20T18:00:05.000Z'))).toBe(true);
    expect(retained.map.size).toBe(0);
  });

  it('knows a message that is sent again with another id', () => {
    const retained = new Retained();
    expect(retained.put('lobby lunch', message('soup', { id: 'k-1' }))).toBe(true);
    expect(retained.put('lobby lunch', message('soup', { id: 'k-2.lobby', replay: true }))).toBe(false);
    // The same again at once, but live, is another one; so is one with other data.
    expect(retained.put('lobby lunch', message('soup', { id: 'k-3' }))).toBe(true);
    expect(retained.put('lobby lunch', message('fish', { id: 'k-4', replay: true }))).toBe(true);
  });

  it('holds, after any leaving and coming back, what the rooms retain', () => {
    const room = fc.constantFrom('a', 'b');
    const key = fc.constantFrom('x', 'y', 'z');
    const action = fc.oneof(
      fc.record({ do: fc.constant('put'), room, key }),
      fc.record({ do: fc.constant('withdraw'), room, key }),
      fc.record({ do: fc.constant('leave'), room, key }),
      fc.record({ do: fc.constant('return'), room, key }),
    );
    const property = fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      const server = new Map<string, Message>();
      const retained = new Retained();
      const away = new Set<string>();
      actions.forEach(({ do: what, room, key }, index) => {
        const name = `${room} ${key}`;
        if (what === 'put') {
          server.set(name, message(index, { room }));
          if (!away.has(room)) retained.put(name, message(index, { room }));
        } else if (what === 'withdraw') {
          server.delete(name);
          if (!away.has(room)) retained.map.delete(name);
        } else if (what === 'leave') {
          away.add(room);
          retained.left(room);
        } else if (away.delete(room)) {
          // The log does not reach so far back: everything is sent again, and then the reply says so.
          for (const [each, kept] of server)
            if (kept.room === room) retained.put(each, { ...kept, replay: true });
          retained.forget(room);
        }
      });
      for (const each of ['a', 'b']) {
        if (away.has(each)) continue;
        const of = (map: ReadonlyMap<string, Message>) =>
          [...map].filter(([, kept]) => kept.room === each).map(([name, { data }]) => `${name} ${data}`);
        expect(of(retained.map).sort()).toEqual(of(server).sort());
      }
    });
    fc.assert(property, { numRuns: Number(process.env.FC_RUNS ?? 500) });
  });
});

describe('RecentIds', () => {
  it('knows the newest ids, and forgets the oldest', () => {
    const ids = new RecentIds();
    expect(ids.add('k-0')).toBe(true);
    expect(ids.add('k-0')).toBe(false);
    for (let position = 1; position <= 4096; position++) ids.add(`k-${position}`);
    expect(ids.add('k-4096')).toBe(false);
    expect(ids.add('k-0')).toBe(true);
  });
});
