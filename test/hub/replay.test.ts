import { describe, expect, test } from 'vitest';
import { Frame } from '../../src/hub/frame.ts';
import { type ReplayOptions, replay } from '../../src/hub/replay.ts';
import type { IsWanted, RetainedMessage } from '../../src/hub/retained-message.ts';
import type { History, Message } from '../../src/log/log.ts';

const FRAME_BYTES = 100;

function message(room: string, position: number): Message {
  const id = `e-${position}`;
  return {
    position,
    id,
    event: { room, event: 'message', id, time: '2026-11-20T18:00:00.000Z', data: '"x"' },
  };
}

function retained(room: string, key: string, position: number): RetainedMessage {
  const { id, event } = message(room, position);
  return { key, first: position, last: position, position, id, event: { ...event, key }, isOver: false };
}

const historyOf = (
  room: string,
  resumed: boolean | null,
  positions: readonly number[],
): [string, History] => [room, { resumed, messages: positions.map((position) => message(room, position)) }];

/** Takes all steps. `looks`: how often something was looked up or encoded, at most, in one of them. */
function run(
  histories: readonly [string, History][],
  { maxBytes = 1_000_000, ...options }: Partial<ReplayOptions> = {},
  retainedIn: (room: string) => readonly RetainedMessage[] = () => [],
) {
  const sent: string[] = [];
  let looks = 0;
  const of = new WeakMap<Frame, string>();
  const steps = replay(new Map(histories), {
    upTo: 1_000_000,
    since: undefined,
    maxBytes,
    retainedOf: (room: string, isWanted: IsWanted) => {
      looks++;
      return retainedIn(room).filter((each) => isWanted(each, each.isOver));
    },
    frameOf: ({ room, id = '' }) => {
      looks++;
      const frame = new Frame(Buffer.alloc(FRAME_BYTES));
      of.set(frame, `${room} ${id}`);
      return frame;
    },
    ...options,
  });
  let most = 0;
  for (;;) {
    looks = 0;
    const { done, value } = steps.next();
    most = Math.max(most, looks);
    if (!done) continue;
    for (const frame of value.frames) sent.push(of.get(frame) ?? '');
    return { ...value, sent, looks: most };
  }
}

describe('a replay', () => {
  test('looks for what one room retains, or encodes one message, in each step', () => {
    const rooms = Array.from({ length: 20 }, (_, n) => `r${n}`);
    const histories = rooms.map((room, n) => historyOf(room, true, [n + 1, n + 101]));
    const { sent, looks } = run(histories, {}, (room) => [retained(room, 'k', 500)]);
    expect(sent).toHaveLength(60);
    // The first retained message of a room comes with the look for it.
    expect(looks).toBeLessThanOrEqual(2);
  });

  test('takes a history of any length, and encodes what fits of it', () => {
    const positions = Array.from({ length: 200_000 }, (_, n) => n + 1);
    const { sent, resumed, firstPosition } = run([historyOf('a', true, positions)], { maxBytes: 1000 });
    expect(sent).toHaveLength(10);
    expect(sent.at(-1)).toBe('a e-200000');
    expect([resumed, firstPosition]).toEqual([{ a: false }, 199_991]);
  });

  test('is in the order of the ids through all rooms, and the newest where not all of it fits', () => {
    const histories = [historyOf('a', true, [1, 4, 6]), historyOf('b', true, [2, 3, 5])];
    expect(run(histories).sent).toEqual(['a e-1', 'b e-2', 'b e-3', 'a e-4', 'b e-5', 'a e-6']);
    const { sent, resumed } = run([...histories, historyOf('c', true, [7])], { maxBytes: 300 });
    expect(sent).toEqual(['b e-5', 'a e-6', 'c e-7']);
    expect(resumed).toEqual({ a: false, b: false, c: true });
  });

  test('ends where messages come live', () => {
    expect(run([historyOf('a', true, [1, 2, 3])], { upTo: 2 }).sent).toEqual(['a e-1', 'a e-2']);
  });

  test('has what is retained first where not all of it fits, and once where the history has it too', () => {
    const histories = [historyOf('a', null, [1, 2, 3])];
    const { sent, resumed } = run(histories, { maxBytes: 200 }, () => [retained('a', 'k', 1)]);
    expect(sent).toEqual(['a e-1', 'a e-3']);
    expect(resumed).toEqual({ a: false });
    const withKey = { ...message('a', 1), event: { ...message('a', 1).event, key: 'k' } };
    const all = run([['a', { resumed: null, messages: [withKey, message('a', 2)] }]], {}, () => [
      retained('a', 'k', 1),
    ]);
    expect(all.sent).toEqual(['a e-1', 'a e-2']);
    expect(all.resumed).toEqual({ a: null });
  });
});
