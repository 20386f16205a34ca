import { FlushScheduler } from '../../src/hub/flush-scheduler.ts';
import { Encoding, Frame } from '../../src/hub/frame.ts';
import { Outbox } from '../../src/hub/outbox.ts';
import { SlowConsumers } from '../../src/hub/slow-consumers.ts';
import type { Limits } from '../../src/limits.ts';
import { CLOSE } from '../../src/protocol/close-reason.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { FakeSink, hubSettings, KIB, lines, quiet, tickEvent } from './fixture.ts';

export const LIMITS = {
  conflateAboveBytes: 64 * KIB,
  maxBufferedBytes: 1024 * KIB,
  slowSeconds: 5,
  totalBufferedBytes: 16 * 1024 * KIB,
};

/** Outboxes with one flush scheduler and one watch over slow consumers. */
export function rig(limits: Partial<Limits> = {}) {
  const clock = new ManualClock();
  const settings = hubSettings({ ...LIMITS, ...limits });
  const tooSlow: string[] = [];
  const outboxes = new Map<string, Outbox>();
  const slowConsumers: SlowConsumers = new SlowConsumers({
    clock,
    settings,
    onTooSlow({ connection }) {
      tooSlow.push(connection);
      outboxes.get(connection)?.close(CLOSE.tooSlow, closing);
    },
  });
  const scheduler = new FlushScheduler({
    clock: { monotonic: () => 0 },
    settings,
    onFlushed: () => slowConsumers.check(),
  });
  const broken: unknown[] = [];
  const totals = { events: 0, bytes: 0, conflated: 0 };
  const onBroken = (connection: string) => {
    broken.push(connection);
    outboxes.get(connection)?.discard();
  };
  const make = (name = 'one') => {
    const sink = new FakeSink();
    const outbox = new Outbox(name, sink, { settings, scheduler, slowConsumers, onBroken, totals });
    outboxes.set(name, outbox);
    return { outbox, sink };
  };
  return { clock, slowConsumers, tooSlow, broken, totals, make };
}

export const closing = new Frame(lines.encode('{"event":"closing"}'));
export const message = (data: unknown, room = 'a'): Frame =>
  new Encoding({ room, event: 'message', time: 't', data: JSON.stringify(data) }).in(lines);
export const reply = (ref: number): Frame =>
  new Frame(lines.encode(`{"reply":"ping","data":"reply ${ref}"}`));
export const tick = (number: number, room = 'a', schedule = 'clock', mayConflate = true): Frame =>
  new Encoding(tickEvent(room, number, schedule), { mayConflate }).in(lines);
/** More than the socket of a slow client may hold. */
export const filler = message('x'.repeat(70 * KIB));

/** An outbox whose peer has taken nothing of the first message. */
export async function stalled(limits?: Partial<Limits>) {
  const all = rig(limits);
  const one = all.make();
  one.sink.stalled = true;
  one.outbox.push(filler);
  await quiet();
  one.sink.writes.length = 0;
  return { ...all, ...one };
}
