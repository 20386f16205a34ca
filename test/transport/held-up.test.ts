import { expect, it } from 'vitest';
import type { Connection } from '../../src/hub/connection.ts';
import { Heartbeat, type HeartbeatClient } from '../../src/transport/client.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** One connection that is pinged, and the codes that it was closed with. */
function setUp(answers: boolean) {
  const clock = new ManualClock();
  const codes: number[] = [];
  const hub = {
    close(closed: Connection, { code }: { code: number }) {
      Object.assign(closed, { closed: true });
      codes.push(code);
    },
  };
  const settings = { current: { server: { heartbeatSeconds: 25, idleSeconds: 60 } } };
  const heartbeat = new Heartbeat<HeartbeatClient>({ clock, hub, settings });
  const fake = { closed: false, outbox: { sent: 0 }, send() {} };
  const connection = fake as unknown as Connection; // of which a heartbeat touches this much
  const client: HeartbeatClient = {
    connection,
    isPaused: false,
    writtenBytes: 0,
    ping: () => answers && clock.after(10, () => heartbeat.ponged(client)),
    pulse: heartbeat.newPulse(),
  };
  heartbeat.add(client);
  return { clock, codes };
}

it('a server that was held up for minutes closes nobody whom it could not have heard', () => {
  const { clock, codes } = setUp(true);
  clock.advance(40_000);
  clock.block(300_000);
  expect(codes).toEqual([]);
  clock.advance(300_000);
  expect(codes).toEqual([]);
});

it('one who says nothing afterwards either is closed, as late as the server was held up', () => {
  const { clock, codes } = setUp(false);
  clock.advance(40_000);
  clock.block(300_000);
  clock.advance(18_000);
  expect(codes).toEqual([]);
  clock.advance(2000);
  expect(codes).toEqual([4201]);
});
