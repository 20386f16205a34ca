import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Entry, Log } from '../../src/log/log.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** How much is kept, the same for each room. */
export interface Kept {
  readonly messages: number;
  readonly ms: number;
  /** Enough of either for `n` messages as `entry` makes them is asked for with `bytesOf(n)`. */
  readonly roomBytes: number;
  readonly totalBytes: number;
}

/** Makes an empty log. The bytes bound what is kept, or only what is kept in memory; `bytesOf` says how much `count` messages of the suite take in it. */
export interface LogUnderTest {
  open(kept: Kept, clock: ManualClock): Promise<Log>;
  bytesOf(count: number): number;
  /** Closes the log and opens it again, as a restart of the server does; absent where nothing outlives that. */
  reopen?(log: Log): Promise<Log>;
}

const TIME = '2026-11-20T18:00:04.120Z';
const ALL = Number.MAX_SAFE_INTEGER;

/** All of them are of the same length. */
const entry = (room: string, number = 0): Entry => ({
  room,
  event: 'message',
  time: TIME,
  data: JSON.stringify(String(number).padStart(6, '0')),
});

/** What every log does; run against each implementation. */
export function logContract(name: string, under: LogUnderTest): void {
  const plenty: Kept = {
    messages: 1000,
    ms: 3_600_000,
    roomBytes: Number.POSITIVE_INFINITY,
    totalBytes: Number.POSITIVE_INFINITY,
  };

  describe(name, () => {
    let clock: ManualClock;
    let log: Log;

    beforeEach(async () => {
      clock = new ManualClock();
      log = await under.open(plenty, clock);
    });

    const append = async (target: Log, ...entries: Entry[]) => (await target.append(entries)).messages;
    const read = async (target: Log, room: string, id?: string, limit = ALL) => {
      const history = (await target.since([room], id, () => limit)).get(room);
      if (!history) throw new Error(`nothing about ${room}`);
      return { resumed: history.resumed, positions: history.messages.map(({ position }) => position) };
    };

    describe('records', () => {
      const put = (key: string, value: string | null) => ({ kind: 'lock' as const, key, value });

      test('are put, replaced and removed, each kind by itself', async () => {
        await log.append([], () => [put('a', '1'), put('b', '2'), put('c', '3')]);
        await log.append([], () => [put('a', '4'), put('b', null), { kind: 'pause', key: 'a', value: '5' }]);
        expect([...(await log.records('lock'))].sort()).toEqual([
          ['a', '4'],
          ['c', '3'],
        ]);
        expect([...(await log.records('pause'))]).toEqual([['a', '5']]);
        expect([...(await log.records('waiting'))]).toEqual([]);
      });

      test('are made from the messages that they are stored with', async () => {
        const { messages, stored } = await log.append([entry('a', 1), entry('b', 2)], (numbered) =>
          numbered.map(({ id, event }) => ({ kind: 'retained', key: event.room ?? '', value: `"${id}"` })),
        );
        await stored;
        expect([...(await log.records('retained'))]).toEqual(
          messages.map(({ id }, index) => [['a', 'b'][index], `"${id}"`]),
        );
      });
    });

    describe('what is kept', () => {
      test('is nothing of a message without a room, which gets a number all the same', async () => {
        const { room, ...roomless } = entry('a', 1);
        const [first, second] = await append(log, roomless, entry('a', 2));
        expect(first?.event).not.toHaveProperty('room');
        expect((second?.position ?? 0) - (first?.position ?? 0)).toBe(1);
        expect((await read(log, 'a')).positions).toEqual([second?.position]);
      });

      test('is told by count and newest message, without the others', async () => {
        await append(log, entry('a', 1), entry('b', 2), entry('a', 3));
        const kept = await log.kept(['a', 'b', 'empty']);
        expect([...kept].map(([room, { count, newest }]) => [room, count, newest?.position])).toEqual([
          ['a', 2, 3],
          ['b', 1, 2],
          ['empty', 0, undefined],
        ]);
        expect(kept.get('a')?.newest?.event).toMatchObject({ room: 'a', data: '"000003"' });
      });

      test('is no more than the number and the age allow', async () => {
        const bounded = await under.open({ ...plenty, messages: 2, ms: 1000 }, clock);
        for (let n = 0; n < 5; n++) await append(bounded, entry('a', n));
        expect((await bounded.kept(['a'])).get('a')).toMatchObject({ count: 2, newest: { position: 5 } });
        clock.advance(1001);
        expect((await bounded.kept(['a'])).get('a')).toEqual({ count: 0 });
      });
    });

    test('numbers thousands at once without holding the event loop', async () => {
      let turns = 0;
      const count = () => {
        turns++;
        timer = setImmediate(count);
      };
      let timer = setImmediate(count);
      const messages = await append(log, ...Array.from({ length: 10_000 }, (_, n) => entry(`room-${n}`)));
      clearImmediate(timer);
      expect(messages.map(({ position }) => position)).toEqual(
        Array.from({ length: 10_000 }, (_, n) => n + 1),
      );
      expect(turns).toBeGreaterThan(5);
    });

    describe('numbers', () => {
      test('begin with 1, the head of an empty log being 0', async () => {
        expect((await log.head()).position).toBe(0);
        const [first] = await append(log, entry('a'));
        expect(first?.position).toBe(1);
      });

      test('grow by one through all rooms, in the order of the entries', async () => {
        await append(log, entry('a'), entry('b'));
        const messages = await append(log, entry('b'), entry('a'), entry('c'));
        expect(messages.map(({ position }) => position)).toEqual([3, 4, 5]);
        expect(messages.map(({ event }) => event.room)).toEqual(['b', 'a', 'c']);
      });

      test('are given in the order of the calls where appends overlap', async () => {
        const all = await Promise.all([0, 1, 2, 3].map((n) => append(log, entry('a', n), entry('b', n))));
        expect(all.flat().map(({ position }) => position)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
        expect(all.flat().map(({ event }) => event.data)).toEqual(
          [0, 0, 1, 1, 2, 2, 3, 3].map((n) => entry('a', n).data),
        );
      });

      test('stand in the id after the epoch, which is the same for all', async () => {
        const head = await log.head();
        const messages = await append(log, entry('a'), entry('b'));
        const epoch = head.id.slice(0, head.id.lastIndexOf('-'));
        expect(epoch).toMatch(/^[A-Za-z0-9]+$/);
        expect(messages.map(({ id }) => id)).toEqual([`${epoch}-1`, `${epoch}-2`]);
        expect(await log.head()).toEqual({ position: 2, id: `${epoch}-2` });
      });

      test('are not taken by an append of nothing', async () => {
        expect(await append(log)).toEqual([]);
        expect((await log.head()).position).toBe(0);
      });

      test('say of another log that it is another', async () => {
        const other = await under.open(plenty, clock);
        const [here] = await append(log, entry('a'));
        await append(other, entry('a'));
        expect(await read(other, 'a', here?.id)).toEqual({ resumed: false, positions: [1] });
      });
    });

    test('what is appended comes back as an event with its id and room, and says when it is stored', async () => {
      const from = { connection: 'c-1', device: 'wall' };
      const { messages, stored } = await log.append([{ ...entry('a', 7), from }]);
      await stored;
      const [message] = messages;
      expect(message?.event).toEqual({ id: message?.id, ...entry('a', 7), from });
      expect((await log.since(['a'], undefined, () => ALL)).get('a')?.messages[0]).toMatchObject({
        position: 1,
        id: message?.id,
        event: message?.event,
      });
    });

    describe('since', () => {
      test('gives what came after an id, oldest first, and nothing of other rooms', async () => {
        const [first] = await append(log, entry('a'), entry('b'), entry('a'), entry('a'));
        expect(await read(log, 'a', first?.id)).toEqual({ resumed: true, positions: [3, 4] });
        expect(await read(log, 'b', first?.id)).toEqual({ resumed: true, positions: [2] });
      });

      test('takes the id of a message of any room, and that of the head', async () => {
        const [, second] = await append(log, entry('a'), entry('b'), entry('a'));
        expect(await read(log, 'a', second?.id)).toEqual({ resumed: true, positions: [3] });
        expect(await read(log, 'a', (await log.head()).id)).toEqual({ resumed: true, positions: [] });
      });

      test('takes the id of the place before the first message', async () => {
        const start = await log.head();
        await append(log, entry('a'));
        expect(await read(log, 'a', start.id)).toEqual({ resumed: true, positions: [1] });
      });

      test('answers for several rooms at once, also for those that never were', async () => {
        const [first] = await append(log, entry('a'), entry('b'));
        const histories = await log.since(['b', 'a', 'nowhere'], first?.id, () => ALL);
        expect([...histories.keys()].sort()).toEqual(['a', 'b', 'nowhere']);
        expect(histories.get('nowhere')).toEqual({ resumed: true, messages: [] });
      });

      test('without an id gives the newest up to the limit, and says null', async () => {
        await append(log, entry('a'), entry('a'), entry('a'));
        expect(await read(log, 'a', undefined, 2)).toEqual({ resumed: null, positions: [2, 3] });
        expect(await read(log, 'a', undefined, 0)).toEqual({ resumed: null, positions: [] });
        expect(await read(log, 'nowhere', undefined, 2)).toEqual({ resumed: null, positions: [] });
      });

      test('gives all that was missed, whatever the limit', async () => {
        const start = await log.head();
        await append(log, entry('a'), entry('a'), entry('a'));
        expect(await read(log, 'a', start.id, 1)).toEqual({ resumed: true, positions: [1, 2, 3] });
      });

      test.each([
        ['an epoch that is not known', () => 'zzzz-1'],
        ['a position that lies ahead', (epoch: string) => `${epoch}-4`],
        ['a huge position', (epoch: string) => `${epoch}-${'9'.repeat(400)}`],
        ['2^53', (epoch: string) => `${epoch}-9007199254740992`],
        ['a position with leading zeros', (epoch: string) => `${epoch}-01`],
        ['an empty position', (epoch: string) => `${epoch}-`],
        ['no position', (epoch: string) => epoch],
        ['a negative position', (epoch: string) => `${epoch}--1`],
        ['a fraction', (epoch: string) => `${epoch}-1.5`],
        ['another notation', (epoch: string) => `${epoch}-0x1`],
        ['an exponent', (epoch: string) => `${epoch}-1e0`],
        ['space around', (epoch: string) => ` ${epoch}-1 `],
        ['a line break behind', (epoch: string) => `${epoch}-1\n`],
        ['one dash', () => '-'],
        ['an empty text', () => ''],
        ['garbage', () => 'null;\u0000é💥'],
      ])('tells of a gap after %s, and gives the newest that are kept', async (_, idOf) => {
        const { id } = await log.head();
        await append(log, entry('a'), entry('a'), entry('a'));
        const wrong = idOf(id.slice(0, id.lastIndexOf('-')));
        expect(await read(log, 'a', wrong, 2)).toEqual({ resumed: false, positions: [2, 3] });
        expect(await read(log, 'nowhere', wrong, 2)).toEqual({ resumed: false, positions: [] });
      });
    });

    const { reopen } = under;
    describe.skipIf(!reopen)('a restart', () => {
      const restarted = async (target: Log) => (await reopen?.(target)) ?? target;

      test('keeps messages with their ids, the epoch and the records', async () => {
        const [, second] = await append(log, entry('a', 1), entry('b', 2), entry('a', 3));
        await log.append([], () => [{ kind: 'lock', key: 'a', value: '{"n":1}' }]);
        const before = await log.since(['a', 'b'], undefined, () => ALL);
        const head = await log.head();
        log = await restarted(log);
        expect(await log.head()).toEqual(head);
        expect(await log.since(['a', 'b'], undefined, () => ALL)).toEqual(before);
        expect(await read(log, 'a', second?.id)).toEqual({ resumed: true, positions: [3] });
        expect([...(await log.records('lock'))]).toEqual([['a', '{"n":1}']]);
        expect((await append(log, entry('a'))).map(({ position }) => position)).toEqual([4]);
        expect((await log.kept(['a'])).get('a')).toMatchObject({ count: 3, newest: { position: 4 } });
      });

      test('keeps no more than the number and the age allow, and tells of the gap', async () => {
        log = await under.open({ ...plenty, messages: 3, ms: 1000 }, clock);
        const { id } = await log.head();
        const idOf = (position: number) => id.replace(/0$/, String(position));
        for (let n = 0; n < 5; n++) await append(log, entry('a', n));
        log = await restarted(log);
        expect((await log.kept(['a'])).get('a')).toMatchObject({ count: 3, newest: { position: 5 } });
        expect(await read(log, 'a', idOf(1))).toEqual({ resumed: false, positions: [3, 4, 5] });
        expect(await read(log, 'a', idOf(2))).toEqual({ resumed: true, positions: [3, 4, 5] });
        clock.advance(600);
        await append(log, entry('a'));
        clock.advance(600);
        log = await restarted(log);
        expect((await log.kept(['a'])).get('a')).toMatchObject({ count: 1, newest: { position: 6 } });
        expect(await read(log, 'a', idOf(4))).toEqual({ resumed: false, positions: [6] });
        expect(await read(log, 'a', idOf(5))).toEqual({ resumed: true, positions: [6] });
      });

      test('may come many times', async () => {
        for (let n = 1; n < 6; n++) {
          log = await restarted(log);
          expect((await append(log, entry('a', n)))[0]?.position).toBe(n);
        }
        expect((await read(log, 'a')).positions).toEqual([1, 2, 3, 4, 5]);
      });
    });

    describe('keeps', () => {
      const ids = async (target: Log) => {
        const { id } = await target.head();
        return (position: number) => `${id.slice(0, id.lastIndexOf('-'))}-${position}`;
      };

      test('so many messages of a room, and tells of the gap before them', async () => {
        log = await under.open({ ...plenty, messages: 2 }, clock);
        const id = await ids(log);
        for (let n = 0; n < 5; n++) await append(log, entry('a', n));
        expect(await read(log, 'a', id(2))).toEqual({ resumed: false, positions: [4, 5] });
        expect(await read(log, 'a', id(3))).toEqual({ resumed: true, positions: [4, 5] });
      });

      test.skipIf(reopen)('so many bytes of a room', async () => {
        log = await under.open({ ...plenty, roomBytes: under.bytesOf(3) }, clock);
        const id = await ids(log);
        for (let n = 0; n < 5; n++) await append(log, entry('a', n), entry('b', n));
        expect(await read(log, 'a', id(5))).toEqual({ resumed: true, positions: [7, 9] });
        expect(await read(log, 'a', id(4))).toEqual({ resumed: true, positions: [5, 7, 9] });
        expect(await read(log, 'a', id(2))).toEqual({ resumed: false, positions: [5, 7, 9] });
      });

      test('messages for so long, however the computer’s clock is set', async () => {
        log = await under.open({ ...plenty, ms: 1000 }, clock);
        const id = await ids(log);
        await append(log, entry('a', 1));
        clock.advance(600);
        await append(log, entry('a', 2));
        clock.step(3_600_000);
        expect(await read(log, 'a', id(0))).toEqual({ resumed: true, positions: [1, 2] });
        clock.step(-7_200_000);
        clock.advance(500);
        expect(await read(log, 'a', id(0))).toEqual({ resumed: false, positions: [2] });
        expect(await read(log, 'a', id(1))).toEqual({ resumed: true, positions: [2] });
        clock.advance(600);
        expect(await read(log, 'a', id(1))).toEqual({ resumed: false, positions: [] });
        expect(await read(log, 'a', id(2))).toEqual({ resumed: true, positions: [] });
      });

      test.skipIf(reopen)(
        'so many bytes in all; the room that was quiet for longest loses first',
        async () => {
          log = await under.open({ ...plenty, totalBytes: under.bytesOf(4) }, clock);
          const id = await ids(log);
          await append(log, entry('a'), entry('a'), entry('b'), entry('a'));
          await append(log, entry('c'));
          expect(await read(log, 'b', id(2))).toEqual({ resumed: false, positions: [] });
          expect(await read(log, 'a', id(0))).toEqual({ resumed: true, positions: [1, 2, 4] });
          expect(await read(log, 'c', id(4))).toEqual({ resumed: true, positions: [5] });
        },
      );

      test('nothing where nothing may be kept, and tells a client that missed something', async () => {
        log = await under.open({ ...plenty, messages: 0 }, clock);
        const id = await ids(log);
        await append(log, entry('a'));
        expect(await read(log, 'a')).toEqual({ resumed: null, positions: [] });
        expect(await read(log, 'a', id(0))).toEqual({ resumed: false, positions: [] });
        expect(await read(log, 'a', id(1))).toEqual({ resumed: true, positions: [] });
      });

      test.skipIf(reopen)('not even the newest where it is larger than all bounds', async () => {
        log = await under.open({ ...plenty, totalBytes: 1 }, clock);
        const id = await ids(log);
        const messages = await append(log, entry('a'), entry('b'));
        expect(messages.map(({ position }) => position)).toEqual([1, 2]);
        expect(await read(log, 'a', id(0))).toEqual({ resumed: false, positions: [] });
        expect(await read(log, 'b', id(0))).toEqual({ resumed: false, positions: [] });
        expect(await read(log, 'b', id(2))).toEqual({ resumed: true, positions: [] });
      });

      test.skipIf(reopen)(
        'the gap in mind when a room was forgotten altogether, and when it comes back',
        async () => {
          log = await under.open({ ...plenty, totalBytes: under.bytesOf(2) }, clock);
          const id = await ids(log);
          await append(log, entry('gone'));
          await append(log, entry('a'), entry('a'));
          expect(await read(log, 'gone', id(0))).toEqual({ resumed: false, positions: [] });
          await append(log, entry('gone'));
          expect(await read(log, 'gone', id(0))).toEqual({ resumed: false, positions: [4] });
          expect(await read(log, 'gone', id(3))).toEqual({ resumed: true, positions: [4] });
        },
      );

      test('count of what it remembers when very many rooms were written to once', async () => {
        const id = await ids(log);
        const many = Array.from({ length: 25_000 }, (_, n) => entry(`room-${n}`));
        await append(log, ...many);
        const first = await read(log, 'room-0', id(0));
        expect(first.resumed === false || first.positions.includes(1)).toBe(true);
        expect(await read(log, 'room-24999', id(24_999))).toEqual({ resumed: true, positions: [25_000] });
      });
    });

    test('gives what a list of all messages would give, or tells of a gap that there is', async () => {
      const rooms = ['a', 'b', 'c'];
      const step = fc.oneof(
        { weight: 5, arbitrary: fc.array(fc.constantFrom(...rooms), { maxLength: 4 }) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 800 }) },
        { weight: reopen ? 1 : 0, arbitrary: fc.constant('reopen' as const) },
        // What a client reads in between may have a log keep more in memory.
        { weight: 1, arbitrary: fc.record({ room: fc.constantFrom(...rooms), limit: fc.nat(4) }) },
      );
      const kept = fc.record({
        messages: fc.integer({ min: 0, max: 5 }),
        ms: fc.constantFrom(1000, 1_000_000),
        roomBytes: fc.constantFrom(under.bytesOf(3), Number.POSITIVE_INFINITY),
        totalBytes: fc.constantFrom(under.bytesOf(5), Number.POSITIVE_INFINITY),
      });
      await fc.assert(
        fc.asyncProperty(kept, fc.array(step, { maxLength: 30 }), async (bounds, steps) => {
          const time = new ManualClock();
          let log = await under.open(bounds, time);
          const { id: start } = await log.head();
          const idOf = (position: number) => start.replace(/0$/, String(position));
          const model: { room: string; position: number; at: number }[] = [];
          for (const one of steps) {
            if (typeof one === 'number') time.advance(one);
            else if (one === 'reopen') log = (await reopen?.(log)) ?? log;
            else if (!Array.isArray(one)) {
              const { room, limit } = one;
              const [first, second] = await Promise.all([
                read(log, room, undefined, limit),
                read(log, room, undefined, limit),
                read(log, room, idOf(model.length)),
              ]);
              expect(second).toEqual(first);
            } else
              for (const { position, event } of await append(log, ...one.map((room) => entry(room))))
                model.push({ room: event.room ?? '', position, at: time.monotonic() });
          }
          expect(model.map(({ position }) => position)).toEqual(model.map((_, index) => index + 1));
          for (const room of rooms) {
            const written = model.filter((message) => message.room === room);
            const [{ positions: found }, again] = await Promise.all([read(log, room), read(log, room)]);
            expect(again.positions).toEqual(found);
            // Only the newest are kept, no more than may be, none too old.
            expect(found).toEqual(
              written.slice(written.length - found.length).map(({ position }) => position),
            );
            expect(found.length).toBeLessThanOrEqual(bounds.messages);
            if (!reopen) expect(under.bytesOf(found.length)).toBeLessThanOrEqual(bounds.roomBytes);
            for (const { at } of written.slice(written.length - found.length))
              expect(time.monotonic() - at).toBeLessThanOrEqual(bounds.ms);
            for (let position = 0; position <= model.length; position++) {
              const missed = written
                .filter((message) => message.position > position)
                .map((message) => message.position);
              const { resumed, positions } = await read(log, room, idOf(position));
              expect(positions).toEqual(resumed ? missed : found);
              // Without a bound on the whole no room is forgotten, and a gap is told only where one is.
              if (reopen || bounds.totalBytes === Number.POSITIVE_INFINITY)
                expect(resumed).toBe(missed.every((one) => found.includes(one)));
            }
          }
        }),
        { seed: 20_261_120, numRuns: Number(process.env.FC_RUNS ?? 200) },
      );
    });
  });
}
