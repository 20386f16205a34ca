import { EventEmitter } from 'node:events';
import type { Transport } from '../../src/hub/frame.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { CLOSE } from '../../src/protocol/close-reason.ts';
import {
  LatenessOfAll,
  type Run,
  RunHistory,
  type RunOutcome,
  sumOf,
} from '../../src/schedule/run-history.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** Metrics of a server that is not there: its parts are what the test says. */
export class Watching {
  readonly clock = new ManualClock();
  readonly events = new EventEmitter();
  readonly hub = {
    events: this.events,
    totals: { published: 0, events: 0, bytes: 0, conflated: 0 },
    roomCount: 0,
    connections: [] as { transport: Transport; outbox: { isBehind: boolean } }[],
    connectionsHere() {
      return this.connections;
    },
  };
  readonly broadcasts = { count: 0, missed: 0 };
  readonly states = { ok: 0, stale: 0, error: 0, paused: 0 };
  readonly clockSteps = { forward: 0, back: 0 };
  readonly histories = new Map<string, RunHistory>();
  readonly #lateness = new LatenessOfAll();
  readonly metrics = new Metrics({
    clock: this.clock,
    version: '1.2.3',
    hub: this.hub,
    broadcasts: this.broadcasts,
    schedules: {
      states: () => ({ ...this.states }),
      clockSteps: this.clockSteps,
      histories: () => this.histories,
      totals: () => ({ ...sumOf(this.histories.values()), lateness: this.#lateness.entry() }),
    },
  });

  close(reason: keyof typeof CLOSE): void {
    this.events.emit('close', { reason: CLOSE[reason] });
  }

  /** The history of a schedule, which begins where it is first asked for. */
  history(schedule: string): RunHistory {
    const history = this.histories.get(schedule) ?? new RunHistory(this.#lateness);
    this.histories.set(schedule, history);
    return history;
  }

  /** A run due now that took as long and left so late. */
  ran(schedule: string, { lateMs = 0, tookMs = 0, manual = false } = {}): void {
    const dueMs = this.clock.now();
    this.#add(schedule, { dueMs, tookMs, sentMs: dueMs + lateMs, manual, outcome: 'sent' });
  }

  /** A run that sent nothing. */
  ranInVain(schedule: string, outcome: RunOutcome, tookMs = 0): void {
    this.#add(schedule, { dueMs: 0, tookMs, sentMs: null, manual: false, outcome });
  }

  #add(schedule: string, run: Pick<Run, 'dueMs' | 'tookMs' | 'sentMs' | 'manual' | 'outcome'>): void {
    this.history(schedule).add({ ...run, startedMs: 0, rooms: 0, connections: 0, bytes: 0, error: null });
  }

  /** The value of a series as it is written, such as `belfry_rooms` or `x_total{code="1"}`. */
  async value(series: string): Promise<number | undefined> {
    const line = (await this.metrics.text()).split('\n').find((text) => text.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length));
  }
}
