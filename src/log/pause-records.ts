import type { Log } from './log.ts';

/** The records of the schedules that the admin API has paused or resumed: by name, whether it is paused. */
export class PauseRecords {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  async read(): Promise<ReadonlyMap<string, boolean>> {
    const records = await this.#log.records('pause');
    // Written by `write` alone.
    return new Map([...records].map(([name, text]) => [name, JSON.parse(text).paused === true]));
  }

  /** Undefined: the record is removed. Resolves when the log has taken it, `stored` when it survives a crash. */
  write(name: string, isPaused: boolean | undefined): Promise<{ readonly stored: Promise<void> }> {
    const value = isPaused === undefined ? null : JSON.stringify({ paused: isPaused });
    return this.#log.append([], () => [{ kind: 'pause', key: name, value }]);
  }
}
