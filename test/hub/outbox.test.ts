import { describe, expect, test } from 'vitest';
import { Encoding } from '../../src/hub/frame.ts';
import { CLOSE } from '../../src/protocol/close-reason.ts';
import { dataOf, KIB, lines, quiet, tickEvent } from './fixture.ts';
import { closing, filler, LIMITS, message, reply, rig, stalled, tick } from './outbox-fixture.ts';

describe('what becomes due in one iteration', () => {
  test('leaves in one write of one buffer, the same for all that are sent the same', async () => {
    const { make, totals } = rig();
    const guests = Array.from({ length: 20 }, (_, n) => make(String(n)));
    for (const frame of [tick(1), message('hello'), tick(1, 'b')])
      for (const { outbox } of guests) outbox.push(frame);
    expect(guests[0]?.sink.writes).toEqual([]);
    await quiet();
    for (const { sink } of guests) {
      expect(sink.writes).toHaveLength(1);
      expect(sink.writes[0]).toBe(guests[0]?.sink.writes[0]);
      expect(dataOf(sink.seen)).toEqual([1, 'hello', 1]);
    }
    expect(totals).toEqual({
      events: 60,
      bytes: 20 * (guests[0]?.sink.writes[0]?.length ?? 0),
      conflated: 0,
    });
  });

  test('keeps its order with a reply in between, in one write for the client that got it', async () => {
    const { make } = rig();
    const [asked, other] = [make('1'), make('2')];
    const frames = [tick(1), message('hello')];
    asked.outbox.push(tick(1));
    for (const { outbox } of [asked, other]) outbox.push(frames[0] ?? filler);
    asked.outbox.push(reply(1));
    for (const { outbox } of [asked, other]) outbox.push(frames[1] ?? filler);
    await quiet();
    expect(dataOf(asked.sink.seen)).toEqual([1, 1, 'reply 1', 'hello']);
    expect(dataOf(other.sink.seen)).toEqual([1, 'hello']);
    expect([asked, other].map(({ sink }) => sink.writes.length)).toEqual([1, 1]);
  });

  test('of the next iteration is another write', async () => {
    const { make } = rig();
    const { outbox, sink } = make();
    outbox.push(message(1));
    await quiet();
    outbox.push(message(2));
    await quiet();
    expect(sink.writes).toHaveLength(2);
    expect(outbox.sent).toBe(2);
  });
});

describe('a client that does not keep up', () => {
  test('gets what there is as long as little is unsent', async () => {
    const { make, slowConsumers } = rig();
    const { outbox, sink } = make();
    sink.stalled = true;
    for (const n of [1, 2, 3]) {
      outbox.push(tick(n));
      await quiet();
    }
    expect(dataOf(sink.seen)).toEqual([1, 2, 3]);
    // Counted from the first byte that the peer has not taken.
    expect([outbox.isBehind, slowConsumers.size]).toEqual([false, 1]);
  });

  test('gets on waking the newest tick of each schedule and room, at the end, and how many it replaced', async () => {
    const { outbox, sink, slowConsumers, totals } = await stalled();
    for (const n of [1, 2, 3]) {
      outbox.push(tick(n));
      outbox.push(tick(n * 10, 'b'));
      outbox.push(message(`m${n}`));
      if (n < 3) outbox.push(tick(n * 100, 'a', 'market'));
      await quiet();
    }
    expect([outbox.isBehind, slowConsumers.size]).toEqual([true, 1]);
    expect(sink.writes).toEqual([]);
    sink.wake();
    expect(
      sink.seen.map(({ room, data, tick, conflated }) => [room, data, tick?.schedule, conflated]),
    ).toEqual([
      ['a', 'm1', undefined, undefined],
      ['a', 'm2', undefined, undefined],
      ['a', 200, 'market', 1],
      ['a', 3, 'clock', 2],
      ['b', 30, 'clock', 2],
      ['a', 'm3', undefined, undefined],
    ]);
    expect([outbox.isBehind, slowConsumers.size, outbox.conflated, totals.conflated]).toEqual([
      false,
      0,
      5,
      5,
    ]);
    outbox.push(tick(4));
    await quiet();
    expect(sink.seen.at(-1)).toMatchObject({ data: 4, tick: { previous: expect.anything() } });
    expect(sink.seen.at(-1)?.conflated).toBeUndefined();
  });

  test('keeps every tick of a room that wants no conflation, and of what came at once above the bound', async () => {
    const { outbox, sink } = await stalled();
    for (const n of [1, 2, 3]) outbox.push(tick(n, 'strict', 'clock', false));
    for (const n of [1, 2, 3]) outbox.push(tick(n));
    await quiet();
    sink.wake();
    expect(sink.seen.map(({ room, data }) => [room, data])).toEqual([
      ['strict', 1],
      ['strict', 2],
      ['strict', 3],
      ['a', 3],
    ]);
  });

  test('is written to only as far as little is unsent, again and again as it is taken', async () => {
    const { outbox, sink } = await stalled();
    for (let n = 0; n < 30; n++) outbox.push(message(`${n}`.padEnd(10 * KIB)));
    outbox.push(tick(1));
    await quiet();
    for (let before = 0; before < 31; before = sink.seen.length) {
      sink.bufferedBytes = 0;
      sink.take();
      expect(sink.bufferedBytes).toBeLessThanOrEqual(LIMITS.conflateAboveBytes + 11 * KIB);
      if (sink.seen.length === before) break;
      // What has not left yet may still be replaced.
      if (sink.seen.length < 20) outbox.push(tick(sink.seen.length));
    }
    expect(sink.seen.slice(0, 30).map(({ data }) => Number(data))).toEqual(Array.from(Array(30).keys()));
    expect(sink.seen).toHaveLength(31);
    expect(sink.seen[30]?.conflated).toBeGreaterThan(0);
  });

  test('counts what waits, until nothing does', async () => {
    const { outbox, sink } = await stalled();
    const before = outbox.unsentBytes;
    const [one, two] = [tick(1), message('m')];
    outbox.push(one);
    outbox.push(two);
    await quiet();
    expect(outbox.unsentBytes).toBe(before + one.bytes.length + two.bytes.length);
    outbox.push(tick(2));
    expect(outbox.unsentBytes).toBe(before + one.bytes.length + two.bytes.length);
    sink.wake();
    expect(outbox.unsentBytes).toBe(0);
  });
});

describe('what is more than a socket should hold', () => {
  test('counts from the first byte, before anything is written', () => {
    const { make } = rig();
    const { outbox } = make();
    const frame = message('x'.repeat(10 * KIB));
    for (let n = 0; n < 3; n++) outbox.push(frame);
    expect(outbox.unsentBytes).toBe(3 * frame.length);
  });

  test('leaves piece by piece, also where the socket was empty', async () => {
    const { make } = rig();
    const { outbox, sink } = make();
    sink.stalled = true;
    const frames = Array.from({ length: 40 }, (_, n) => message(`${n}`.padEnd(10 * KIB)));
    for (const frame of frames) outbox.push(frame);
    await quiet();
    expect(sink.bufferedBytes).toBeGreaterThan(0);
    expect(sink.bufferedBytes).toBeLessThanOrEqual(LIMITS.conflateAboveBytes + 11 * KIB);
    expect(outbox.unsentBytes).toBe(frames.reduce((sum, { length }) => sum + length, 0));
    sink.wake();
    expect(sink.seen.map(({ data }) => Number(data))).toEqual(Array.from(Array(40).keys()));
    expect(outbox.unsentBytes).toBe(0);
  });

  test('is conflated although it became due in one iteration', async () => {
    const { make } = rig();
    const { outbox, sink } = make();
    outbox.push(filler);
    for (const n of [1, 2, 3]) outbox.push(tick(n));
    await quiet();
    sink.wake();
    expect(sink.seen.slice(1)).toMatchObject([{ data: 3, conflated: 2 }]);
  });

  test('is encoded only as it leaves: a client that never reads costs nothing more', async () => {
    const { make } = rig();
    const { outbox, sink } = make();
    let encoded = 0;
    const encode = (text: string) => {
      encoded++;
      return lines.encode(text);
    };
    const format = { ...lines, encode };
    const replayed = (n: number) =>
      new Encoding(
        { ...tickEvent(`room-${n}`, 1), data: JSON.stringify('x'.repeat(10 * KIB)) },
        { isDataKept: true },
      ).in(format);
    sink.stalled = true;
    for (let n = 0; n < 1000; n++) outbox.push(replayed(n));
    await quiet();
    expect(encoded).toBeLessThan(10);
    expect(outbox.unsentBytes).toBeLessThan(LIMITS.maxBufferedBytes);
    await sink.wakeForLong();
    expect(encoded).toBe(1000);
    expect(sink.seen).toHaveLength(1000);
  });
});

describe('holding', () => {
  test('keeps what comes behind what it is released with, and what came before in front', async () => {
    const { make } = rig();
    const { outbox, sink } = make();
    outbox.push(message('before'));
    outbox.hold();
    outbox.push(message('live'));
    await quiet();
    expect(dataOf(sink.seen)).toEqual(['before']);
    outbox.release([message('history')]);
    await quiet();
    expect(dataOf(sink.seen)).toEqual(['before', 'history', 'live']);
  });

  test('is watched over as what waits for a slow peer is, and forgotten when released', async () => {
    const { make, slowConsumers, clock } = rig();
    const { outbox } = make();
    outbox.hold();
    expect(slowConsumers.size).toBe(0);
    outbox.push(filler);
    expect([slowConsumers.size, outbox.unsentBytes]).toEqual([1, filler.bytes.length]);
    outbox.release([]);
    await quiet();
    expect([slowConsumers.size, outbox.unsentBytes]).toEqual([0, 0]);
    clock.advance(500);
    expect(clock.pending).toBe(0);
  });

  test('while behind keeps the order, and is still watched when the peer has taken the rest', async () => {
    const { outbox, sink, slowConsumers } = await stalled();
    outbox.push(message(1));
    await quiet();
    outbox.hold();
    outbox.push(message(3));
    sink.wake();
    expect([slowConsumers.size, outbox.isBehind]).toEqual([1, false]);
    outbox.release([message(2)]);
    await quiet();
    expect(dataOf(sink.seen)).toEqual([1, 2, 3]);
    expect(slowConsumers.size).toBe(0);
  });
});

describe('closing', () => {
  test('writes what is queued and the closing event behind it, at once, and nothing afterwards', async () => {
    const { make } = rig();
    const { outbox, sink } = make();
    outbox.push(message(1));
    outbox.push(reply(1));
    outbox.close(CLOSE.normal, closing);
    expect(sink.seen.map(({ event, data }) => event ?? data)).toEqual(['message', 'reply 1', 'closing']);
    expect(sink.closed).toBe(CLOSE.normal);
    outbox.push(message(2));
    outbox.close(CLOSE.internal, closing);
    outbox.release([message(3)]);
    await quiet();
    expect(sink.seen).toHaveLength(3);
    expect(sink.closed).toBe(CLOSE.normal);
  });

  test('gives a client that is a little behind all of it', async () => {
    const { outbox, sink, slowConsumers, clock } = await stalled();
    outbox.push(message(1));
    outbox.push(reply(1));
    outbox.push(tick(1));
    await quiet();
    outbox.close(CLOSE.normal, closing);
    expect(sink.seen.map(({ event, data }) => event ?? data)).toEqual([
      'message',
      'reply 1',
      'time',
      'closing',
    ]);
    clock.advance(500);
    expect([slowConsumers.size, clock.pending]).toEqual([0, 0]);
  });

  test('gives a client that is far behind the closing event alone', async () => {
    const { outbox, sink, slowConsumers } = await stalled();
    for (let n = 0; n < 20; n++) outbox.push(filler);
    await quiet();
    outbox.close(CLOSE.tooSlow, closing);
    expect(sink.seen.map(({ event }) => event)).toEqual(['closing']);
    expect(slowConsumers.size).toBe(0);
    sink.wake();
    expect(sink.seen).toHaveLength(1);
  });

  test('drops what is held back: it belongs behind what is not here', async () => {
    const { outbox, sink } = await stalled();
    outbox.push(message('queued'));
    await quiet();
    outbox.hold();
    outbox.push(message('held'));
    outbox.close(CLOSE.normal, closing);
    expect(sink.seen.map(({ data }) => data)).toEqual(['queued', undefined]);
  });
});

describe('a socket that', () => {
  test('throws on write is reported, and the others get theirs in the same round', async () => {
    const { make, broken } = rig();
    const guests = Array.from({ length: 200 }, (_, n) => make(String(n)));
    const bad = guests[77];
    if (bad)
      bad.sink.onWrite = () => {
        throw new Error('EPIPE');
      };
    for (const round of [1, 2]) {
      for (const { outbox } of guests) outbox.push(message(round));
      await quiet();
    }
    expect(guests.filter(({ sink }) => dataOf(sink.seen).join() === '1,2')).toHaveLength(199);
    expect(broken).toEqual(['77']);
  });

  test('throws on close is reported, and is closed all the same', () => {
    const { make, broken } = rig();
    const { outbox, sink } = make();
    sink.onClose = () => {
      throw new Error('gone');
    };
    outbox.close(CLOSE.normal, closing);
    outbox.push(message(1));
    expect([broken, sink.seen.length]).toEqual([['one'], 1]);
  });

  test('is lost in the midst of a write or of waiting leaves nothing behind', async () => {
    const { make, slowConsumers, clock } = rig();
    const { outbox, sink } = make();
    sink.onWrite = () => outbox.discard();
    outbox.push(message(1));
    await quiet();
    outbox.push(message(2));
    await quiet();
    const behind = make('two');
    behind.sink.stalled = true;
    for (let n = 0; n < 3; n++) {
      behind.outbox.push(filler);
      await quiet();
    }
    expect(slowConsumers.size).toBe(1);
    behind.outbox.discard();
    behind.sink.wake();
    clock.advance(500);
    expect([sink.seen.length, behind.sink.seen.length, slowConsumers.size, clock.pending]).toEqual([
      1, 1, 0, 0,
    ]);
    expect(outbox.unsentBytes).toBe(0);
  });
});
