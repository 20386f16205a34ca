import { expect, test } from 'vitest';
import { RoomHistories, RoomHistory } from '../../src/log/room-histories.ts';

const NOW_MS = 1000;

function histories(): RoomHistories {
  const limits = { historyBytes: Number.POSITIVE_INFINITY, totalHistoryBytes: Number.POSITIVE_INFINITY };
  return new RoomHistories({ current: { limits, retentionOf: () => ({ messages: 10, ms: 60_000 }) } });
}

const message = (position: number) => {
  const id = `e-${position}`;
  return {
    position,
    id,
    event: { id, event: 'message', time: '2026-11-20T18:00:00.000Z' },
    atMs: NOW_MS,
    bytes: 300,
  };
};

test('a room without messages gets no history, since clients may ask for any name', () => {
  const all = histories();
  all.add('known', message(1), 0);
  const span = { above: 0, gap: 0, isAll: true, upTo: 1 };
  all.restore('asked-for', new RoomHistory(1), [], span, NOW_MS);
  expect(all.get('asked-for', NOW_MS)).toBeUndefined();
  all.restore('on-disk', new RoomHistory(1), [message(1)], span, NOW_MS);
  expect(all.get('on-disk', NOW_MS)?.messages).toHaveLength(1);
  expect(all.get('known', NOW_MS)?.messages).toHaveLength(1);
});
