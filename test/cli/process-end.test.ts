import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { ProcessEnd } from '../../src/cli/process-end.ts';
import { ManualClock, settled } from '../helpers/manual-clock.ts';

const DRAIN_SECONDS = 10;
/** With what stopping may take besides. */
const BOUND_MS = 15_000;

/** What was logged, asked of the server and done to the process, in order. */
let told: string[];
let clock: ManualClock;
let end: ProcessEnd;
/** The server has stopped, or could not be. */
let stopped: () => void;
let notStopped: (reason: Error) => void;

beforeEach(() => {
  told = [];
  clock = new ManualClock();
  const stopping = new Promise<void>((resolve, reject) => {
    stopped = resolve;
    notStopped = reject;
  });
  end = new ProcessEnd({
    clock,
    logger: pino({}, { write: (line) => void told.push(logged(line)) }),
    stop: (signal) => {
      told.push('drain');
      signal.addEventListener('abort', () => told.push('hurry'));
      return stopping;
    },
    drainSeconds: () => DRAIN_SECONDS,
    exit: (code) => void told.push(`exit ${code}`),
  });
});

function logged(line: string): string {
  const { msg, err } = JSON.parse(line);
  return err ? `${msg}: ${err.message}` : msg;
}

const fault = (what = 'broken') => end.onFault(new Error(what), 'a fault');

describe('ProcessEnd', () => {
  it('drains at a signal and ends with 0', async () => {
    end.onSignal('SIGTERM');
    expect(told).toEqual(['stopping', 'drain']);
    stopped();
    await settled();
    expect(told).toEqual(['stopping', 'drain', 'stopped', 'exit 0']);
  });

  it('drains at a fault and ends with 1', async () => {
    fault();
    expect(told).toEqual(['a fault: broken', 'drain']);
    stopped();
    await settled();
    expect(told).toEqual(['a fault: broken', 'drain', 'stopped', 'exit 1']);
  });

  it('ends at once at a second fault, and logs none behind it', () => {
    fault();
    fault('broken again');
    fault('and again');
    expect(told).toEqual(['a fault: broken', 'drain', 'a fault: broken again', 'exit 1']);
  });

  it('ends with 1 where stopping takes longer than the drain and five seconds after a fault', () => {
    fault();
    clock.advance(BOUND_MS - 1);
    expect(told).toEqual(['a fault: broken', 'drain']);
    clock.advance(1);
    expect(told).toEqual(['a fault: broken', 'drain', 'exit 1']);
  });

  it('goes on with the drain of a signal at a fault, and ends with 1', async () => {
    end.onSignal('SIGTERM');
    fault();
    stopped();
    await settled();
    expect(told).toEqual(['stopping', 'drain', 'a fault: broken', 'stopped', 'exit 1']);
  });

  it('goes on with the drain of a fault at a signal, which a second signal ends', () => {
    fault();
    end.onSignal('SIGTERM');
    end.onSignal('SIGTERM');
    expect(told).toEqual(['a fault: broken', 'drain', 'stopping']);
    clock.advance(1001);
    end.onSignal('SIGTERM');
    expect(told.slice(3)).toEqual(['hurry']);
    clock.advance(500);
    expect(told.slice(4)).toEqual(['exit 1']);
  });

  it.each(['signal', 'fault'])(
    'tells why the server could not be stopped after a %s, and ends with 1',
    async (by) => {
      if (by === 'signal') end.onSignal('SIGINT');
      else fault();
      notStopped(new Error('the disk is gone'));
      await settled();
      expect(told.slice(2)).toEqual(['the server could not be stopped: the disk is gone', 'exit 1']);
    },
  );

  it.each([undefined, null, 'text', 7, Object.create(null)])('takes %j, which is no error', (thrown) => {
    end.onFault(thrown, 'a fault');
    expect(told).toEqual([expect.stringContaining('a fault'), 'drain']);
  });
});
