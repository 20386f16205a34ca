import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Feed } from '../../src/feed/feed.ts';
import type { RoomEvent } from '../../src/hub/event.ts';
import { interval } from '../../src/schedule/cadence.ts';
import type { ScheduleOptions } from '../../src/schedule/options.ts';
import { settled } from '../helpers/manual-clock.ts';
import { schedule, start } from './fixture.ts';

/** A client that joined at some moment and compares as the contract says. */
class Viewer {
  #newest = Number.NEGATIVE_INFINITY;
  value: string | undefined;

  see({ event, tick, data }: Omit<RoomEvent, 'room'>): void {
    if (event === 'status' && JSON.parse(data ?? '').state === 'changed')
      this.#newest = Number.POSITIVE_INFINITY;
    if (!tick) return;
    const previous = tick.previous === null ? Number.NEGATIVE_INFINITY : Date.parse(tick.previous);
    if (this.value !== undefined && previous > this.#newest) {
      throw new Error(`${tick.previous} was missed before ${tick.due}`);
    }
    const due = Date.parse(tick.due);
    this.#newest = this.#newest === Number.POSITIVE_INFINITY ? due : Math.max(this.#newest, due);
    this.value = data;
  }
}

const action = fc.oneof(
  { weight: 5, arbitrary: fc.record({ what: fc.constant('wait'), ms: fc.integer({ min: 1, max: 5000 }) }) },
  fc.record({ what: fc.constantFrom('pause', 'resume', 'run', 'join', 'leave', 'block') }),
  fc.record({ what: fc.constant('value'), value: fc.constantFrom('1', '2', 'fails') }),
  fc.record({
    what: fc.constant('step'),
    ms: fc.constantFrom(-86_400_000, -3_600_000, -1500, 1500, 3_600_000),
  }),
  fc.record({ what: fc.constant('slow'), ms: fc.constantFrom(0, 400, 2000, 3500) }),
  fc.record({
    what: fc.constant('apply'),
    everyMs: fc.constantFrom(1000, 3000),
    when: fc.constantFrom('always', 'changed'),
    computed: fc.boolean(),
  }),
);

it('shows every viewer the value there is, and no hole, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
      let value = '1';
      const have = () => {
        if (value === 'fails') throw new Error('no');
        return value;
      };
      const computed: Feed = { compute: have };
      let slowMs = 0;
      const read: Feed = {
        async read() {
          if (slowMs > 0) await new Promise<void>((resolve) => clock.after(slowMs, resolve));
          return have();
        },
      };
      const options = (everyMs: number, when: ScheduleOptions['when'], feed: Feed) =>
        schedule({
          cadence: interval(everyMs),
          describedCadence: { every: `${everyMs}ms` },
          when,
          feed,
          config: { everyMs, when, computed: feed === computed },
        });
      const { clock, hub, schedules } = start(options(3000, 'changed', read));
      hub.rooms = [];
      let viewers: Viewer[] = [];
      let shown = 0;
      const show = () => {
        for (const { event, data } of hub.deliveries.slice(shown))
          for (const viewer of viewers) viewer.see({ ...event, data: String(data) });
        shown = hub.deliveries.length;
      };
      try {
        for (const step of actions) {
          if (step.what === 'wait' && 'ms' in step) await clock.advanceSettled(step.ms);
          if (step.what === 'pause') await schedules.pause('clock');
          if (step.what === 'resume') await schedules.resume('clock');
          if (step.what === 'run') void schedules.run('clock');
          if (step.what === 'block') clock.block(7000);
          if (step.what === 'step' && 'ms' in step) clock.step(step.ms);
          if (step.what === 'value' && 'value' in step) value = step.value;
          if (step.what === 'slow' && 'ms' in step) slowMs = step.ms;
          if (step.what === 'apply' && 'everyMs' in step)
            schedules.apply([options(step.everyMs, step.when, step.computed ? computed : read)]);
          await settled();
          show();
          if (step.what === 'leave') {
            hub.rooms = [];
            viewers = [];
          }
          if (step.what === 'join') {
            hub.rooms = ['lobby'];
            const { ticks, coming } = schedules.request('lobby');
            const viewer = new Viewer();
            for (const tick of ticks) viewer.see(tick);
            viewers.push(viewer);
            for (const read of coming) {
              void read.then((tick) => {
                show();
                if (tick && viewers.includes(viewer)) viewer.see(tick);
              });
            }
            await settled();
            show();
          }
        }
        // Two instants later everybody has the value, if it can be had: one read may be under way.
        if (value === 'fails') value = '2';
        slowMs = 0;
        await schedules.resume('clock');
        await clock.advanceSettled(6000 + 3500);
        await settled();
        show();
        for (const viewer of viewers) expect(viewer.value).toBe(value);
      } finally {
        await schedules.stop();
      }
    }),
    { numRuns: 3000 },
  );
});
