import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ServerClock } from '../../src/client/server-clock.ts';

/** A client's two clocks and the true time, which the server has. */
class World {
  trueMs = 1_795_197_600_000;
  /** What the client's clocks gain, in parts of one. */
  drift = 0;
  #monotonicMs = 5000;
  #wallOffsetMs = 0;

  now = () => this.#monotonicMs + this.#wallOffsetMs;
  monotonic = () => this.#monotonicMs;

  constructor(wallErrorMs: number) {
    this.#wallOffsetMs = this.trueMs + wallErrorMs - this.#monotonicMs;
  }

  pass(ms: number): void {
    this.trueMs += ms;
    this.#monotonicMs += ms * (1 + this.drift);
  }
  /** The local wall clock is set. */
  step(ms: number): void {
    this.#wallOffsetMs += ms;
  }
  /** The computer sleeps: only its wall clock goes on. */
  sleep(ms: number): void {
    this.trueMs += ms;
    this.#wallOffsetMs += ms;
  }
}

describe('ServerClock', () => {
  let world: World;
  let clock: ServerClock;

  beforeEach(() => {
    world = new World(-20_000);
    clock = new ServerClock(world);
  });

  /** An exchange whose ways take so long; the server's instants are whole milliseconds. */
  function exchange(thereMs: number, atServerMs: number, backMs: number, meanwhile = () => {}): boolean {
    const sent = clock.mark();
    world.pass(thereMs);
    const t1 = Math.floor(world.trueMs);
    world.pass(atServerMs);
    const t2 = Math.floor(world.trueMs);
    meanwhile();
    world.pass(backMs);
    return clock.add(sent, t1, t2);
  }

  const errorNow = () => Math.abs(clock.now() - world.trueMs);

  it('is the local clock, with no bound, before the first exchange', () => {
    expect(clock.now()).toBe(world.now());
    expect(clock.errorMs).toBe(Number.POSITIVE_INFINITY);
    expect(clock.offsetMs).toBe(0);
  });

  it('is the clock of the server, off by half of the round trip at most', () => {
    expect(exchange(80, 3, 20)).toBe(true);
    expect(errorNow()).toBeLessThanOrEqual(clock.errorMs);
    expect(clock.errorMs).toBeLessThan(52);
    expect(clock.offsetMs).toBeGreaterThan(19_900);
  });

  it('keeps the exchange with the shortest round trip, as long as its age does not make it worse', () => {
    exchange(5, 0, 5);
    const best = clock.errorMs;
    exchange(400, 0, 10);
    expect(clock.errorMs).toBeLessThan(best + 1);
    world.pass(3_600_000);
    expect(clock.errorMs).toBeGreaterThan(best + 359);
    exchange(60, 0, 60);
    expect(clock.errorMs).toBeLessThan(62);
  });

  it.each([
    ['an answer from before the question', 10, 9],
    ['a server that took longer than the whole exchange', 0, 5000],
    ['what is no number', Number.NaN, 3],
    ['what is no number at the end', 3, Number.NaN],
  ])('refuses %s', (_, t1, t2) => {
    const sent = clock.mark();
    world.pass(10);
    expect(clock.add(sent, t1, t2)).toBe(false);
    expect(clock.errorMs).toBe(Number.POSITIVE_INFINITY);
  });

  it('refuses an exchange in which the computer slept', () => {
    expect(exchange(10, 0, 10, () => world.sleep(30_000))).toBe(false);
  });

  it('does not move when the local clock is set', () => {
    exchange(10, 0, 10);
    for (const ms of [3_600_000, -7_200_000]) {
      const before = clock.now();
      world.step(ms);
      expect(clock.now()).toBeCloseTo(before, 3);
      expect(errorNow()).toBeLessThanOrEqual(clock.errorMs);
    }
  });

  it('says after a step forwards that the computer may have slept, until the next exchange', () => {
    exchange(10, 0, 10);
    world.sleep(60_000);
    expect(clock.isStepped).toBe(true);
    expect(clock.errorMs).toBeGreaterThan(60_000);
    expect(errorNow()).toBeLessThanOrEqual(clock.errorMs);
    exchange(10, 0, 10);
    expect(clock.isStepped).toBe(false);
    expect(clock.errorMs).toBeLessThan(12);
    expect(errorNow()).toBeLessThanOrEqual(clock.errorMs);
  });

  it('makes a correction backwards at half its speed, and says how far it is off', () => {
    // The way back took no time, so that the clock is ahead by half of the round trip.
    exchange(1000, 0, 0);
    expect(clock.now() - world.trueMs).toBeGreaterThan(499);
    exchange(0, 0, 800);
    const first = clock.now();
    world.pass(100);
    expect(clock.now()).toBeGreaterThanOrEqual(first);
    expect(errorNow()).toBeLessThanOrEqual(clock.errorMs);
    world.pass(5000);
    expect(clock.errorMs).toBeLessThan(403);
  });

  it("follows at once where the server's own clock was set back", () => {
    exchange(10, 0, 10);
    world.trueMs -= 3_600_000;
    exchange(10, 0, 10);
    expect(errorNow()).toBeLessThanOrEqual(clock.errorMs);
    expect(clock.errorMs).toBeLessThan(12);
  });

  it('is never outside of its bound and never runs backwards, whatever the way and the clocks do', () => {
    const way = fc.double({ min: 0, max: 3000, noNaN: true });
    const action = fc.oneof(
      fc.record({
        do: fc.constant('exchange' as const),
        there: way,
        at: fc.integer({ min: 0, max: 50 }),
        back: way,
      }),
      fc.record({ do: fc.constant('pass' as const), ms: fc.double({ min: 0, max: 600_000, noNaN: true }) }),
      fc.record({ do: fc.constant('step' as const), ms: fc.integer({ min: -7_200_000, max: 7_200_000 }) }),
      // Below it a sleep cannot be told from the slewing of a clock.
      fc.record({ do: fc.constant('sleep' as const), ms: fc.integer({ min: 101, max: 86_400_000 }) }),
    );
    const runs = fc.property(
      fc.double({ min: -1e-4, max: 1e-4, noNaN: true }),
      fc.integer({ min: -86_400_000, max: 86_400_000 }),
      fc.array(action, { maxLength: 40 }),
      (drift, wallErrorMs, actions) => {
        world = new World(wallErrorMs);
        world.drift = drift;
        clock = new ServerClock(world);
        let isKnown = false;
        let shownMs = Number.NEGATIVE_INFINITY;
        for (const each of actions) {
          if ('there' in each) {
            isKnown = exchange(each.there, each.at, each.back) || isKnown;
          } else world[each.do](each.ms);
          if (!isKnown) continue;
          expect(errorNow()).toBeLessThanOrEqual(clock.errorMs + 1e-3);
          expect(clock.now()).toBeGreaterThanOrEqual(shownMs);
          shownMs = clock.now();
        }
      },
    );
    fc.assert(runs, { numRuns: Number(process.env.FC_RUNS ?? 1000) });
  });
});
