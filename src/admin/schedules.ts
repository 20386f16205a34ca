/** What a schedule tells about itself. Instants are RFC 3339. */
export interface ScheduleEntry {
  readonly name: string;
  readonly cadence: { readonly every: string } | { readonly cron: string; readonly timezone: string };
  readonly feed: { readonly type: string };
  readonly event: string;
  /** Room patterns. */
  readonly rooms: readonly string[];
  readonly state: 'ok' | 'stale' | 'error' | 'paused';
  /** When it came into this state. */
  readonly since: string;
  /** Why it is in this state, where there is something to say. */
  readonly detail: string | null;
  /** When the feed last gave a value; null: never. */
  readonly lastGood: string | null;
  /** The next instants due, three at most; none while it is paused or over. */
  readonly next: readonly string[];
  /** The last tick that was sent. */
  readonly last: {
    readonly due: string;
    readonly sent: string;
    readonly rooms: number;
    readonly connections: number;
  } | null;
  /** Since the start of the server. */
  readonly counters: {
    readonly runs: number;
    readonly sent: number;
    readonly unchanged: number;
    readonly missed: number;
    readonly overlapped: number;
    readonly failed: number;
  };
  /** How long after their `due` ticks were sent; null before the first. */
  readonly lateness: {
    readonly lastMs: number;
    readonly medianMs: number;
    readonly p99Ms: number;
    readonly maxMs: number;
  } | null;
}

/**
 * The schedules as the admin API sees them. Schedules are the config file's: they can be run,
 * paused and resumed, not edited. Each call throws a 404 `Refusal` for a name that is not known.
 */
export interface ScheduleAdministration {
  list(): Promise<readonly ScheduleEntry[]>;
  get(name: string): Promise<ScheduleEntry>;
  /** Sends a tick now, of the newest due instant. */
  run(name: string): Promise<ScheduleEntry>;
  pause(name: string): Promise<ScheduleEntry>;
  resume(name: string): Promise<ScheduleEntry>;
}
