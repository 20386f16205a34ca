import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FlushScheduler } from '../../src/hub/flush-scheduler.ts';
import { Encoding, Frame } from '../../src/hub/frame.ts';
import { Outbox } from '../../src/hub/outbox.ts';
import { SlowConsumers } from '../../src/hub/slow-consumers.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';
import { FakeSink, hubSettings, lines, quiet, tickEvent } from './fixture.ts';

const RUNS = Number(process.env.FC_RUNS ?? 300);
const PEERS = 3;

const ALONE = ['message', 'reply', 'stall', 'take', 'wake', 'hold', 'release'] as const;

type Step =
  | { readonly kind: (typeof ALONE)[number]; readonly peer: number }
  | { readonly kind: 'tick'; readonly room: string; readonly schedule: string }
  | { readonly kind: 'broadcast' }
  | { readonly kind: 'turn' };

const peer = fc.integer({ min: 0, max: PEERS - 1 });
const alone = fc.record({ kind: fc.constantFrom(...ALONE), peer });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: alone },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('tick' as const),
      room: fc.constantFrom('a', 'b', 'strict'),
      schedule: fc.constantFrom('clock', 'market'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('broadcast' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
  // Often enough for a peer to be behind most of the time.
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stall' as const), peer }) },
);

/** One peer and what it should see: everything in its order, but for ticks that newer ones replaced. */
class Peer {
  readonly sink = new FakeSink();
  readonly outbox: Outbox;
  readonly expected: Frame[] = [];
  #held: Frame[] | undefined;

  constructor(name: string, context: ConstructorParameters<typeof Outbox>[2]) {
    this.outbox = new Outbox(name, this.sink, context);
  }

  push(frame: Frame): void {
    (this.#held ?? this.expected).push(frame);
    this.outbox.push(frame);
  }

  hold(): void {
    this.#held ??= [];
    this.outbox.hold();
  }

  release(first: Frame[]): void {
    if (!this.#held) return;
    this.expected.push(...first, ...this.#held);
    this.#held = undefined;
    this.outbox.release(first);
  }
}

/** As they left: the number that each frame carries, and how many ticks it stands for besides. */
const numbersOf = (sink: FakeSink) =>
  sink.seen.map(({ data, conflated = 0 }) => ({ number: Number(data), conflated }));

test('any interleaving of events, replies, conflation, holding and slices keeps the order', async () => {
  let conflations = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }),
      fc.constantFrom(0, 150, 400),
      async (steps, conflateAboveBytes) => {
        const clock = new ManualClock();
        // With slices of no length at all each round is one.
        const settings = hubSettings({
          conflateAboveBytes,
          maxBufferedBytes: 1e9,
          slowSeconds: 1e6,
          totalBufferedBytes: 1e9,
          fanoutSliceMs: 0,
        });
        const slowConsumers = new SlowConsumers({
          clock,
          settings,
          onTooSlow: () => expect.unreachable(),
        });
        const scheduler = new FlushScheduler({
          clock: { monotonic: () => 0 },
          settings,
          onFlushed: () => slowConsumers.check(),
        });
        const context = {
          settings,
          scheduler,
          slowConsumers,
          onBroken: () => expect.unreachable(),
          totals: { events: 0, bytes: 0, conflated: 0 },
        };
        const peers = Array.from({ length: PEERS }, (_, n) => new Peer(String(n), context));
        const bySink = new Map<number, { key: string | undefined }>();
        let number = 0;
        const event = (of: 'message' | 'reply'): Frame => {
          bySink.set(++number, { key: undefined });
          return new Frame(lines.encode(JSON.stringify({ [of]: 1, data: number })));
        };
        const all = (frame: Frame) => {
          scheduler.newRound();
          for (const one of peers) one.push(frame);
        };
        for (const one of steps) {
          if (one.kind === 'turn') await settled();
          else if (one.kind === 'broadcast') all(event('message'));
          else if (one.kind === 'tick') {
            const mayConflate = one.room !== 'strict';
            const frame = new Encoding(tickEvent(one.room, ++number, one.schedule), { mayConflate }).in(
              lines,
            );
            bySink.set(number, { key: frame.key });
            all(frame);
          } else {
            const each = peers[one.peer] ?? expect.unreachable();
            const { outbox, sink } = each;
            if (one.kind === 'message' || one.kind === 'reply') each.push(event(one.kind));
            if (one.kind === 'stall') sink.stalled = true;
            if (one.kind === 'take') sink.take();
            if (one.kind === 'wake') sink.wake();
            if (one.kind === 'hold') each.hold();
            if (one.kind === 'release') each.release([event('message'), event('message')]);
            expect(outbox.unsentBytes).toBeGreaterThanOrEqual(sink.bufferedBytes);
          }
        }
        for (const one of peers) one.release([]);
        for (let turns = 0; turns < 10; turns++) await quiet();
        for (const { sink } of peers) sink.wake();
        for (const { sink, outbox, expected } of peers) {
          const left = expected.map(({ bytes }) => Number(JSON.parse(bytes.toString()).data));
          const replaced = new Map<string, number>();
          // Every frame has left at its own place, or was replaced by one that says so.
          const seen = numbersOf(sink)[Symbol.iterator]();
          let next = seen.next();
          for (const one of left) {
            const key = bySink.get(one)?.key;
            if (!next.done && next.value.number === one) {
              expect(next.value.conflated).toBe((key && replaced.get(key)) ?? 0);
              if (key) replaced.delete(key);
              next = seen.next();
            } else {
              expect(key, `${one} is missing`).toBeDefined();
              replaced.set(key ?? '', (replaced.get(key ?? '') ?? 0) + 1);
              conflations++;
            }
          }
          expect(next.done).toBe(true);
          expect([...replaced.keys()], 'the newest tick of these never left').toEqual([]);
          expect([outbox.unsentBytes, outbox.isBehind]).toEqual([0, false]);
        }
        clock.advance(500);
        expect([slowConsumers.size, clock.pending]).toEqual([0, 0]);
      },
    ),
    { seed: 20_261_120, numRuns: RUNS },
  );
  expect(conflations).toBeGreaterThan(RUNS / 10);
}, 120_000);
