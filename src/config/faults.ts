/** One thing wrong with the configuration. */
export interface Fault {
  /** Such as `schedules[1].cron`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** What holds the fault where it is not the file that was read: `--port`, `BELFRY_PORT`. */
  readonly source?: string;
}

/** The configuration cannot be used. Carries every fault there is, not the first one. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[], options?: ErrorOptions) {
    super(faults.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('\n'), options);
    this.faults = faults;
  }
}

/** One line for each fault: `belfry.json: schedules[1].cron: …`. `label` names the file. */
export function formatFaults(label: string, error: ConfigError): string[] {
  return error.faults.map(({ path, message, source }) =>
    [source ?? label, path, message].filter((part) => part !== '').join(': '),
  );
}

/** Writes a place in the document as a reader would: `schedules[1].feed.url`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

/** The most characters of an object or a list that a message repeats. */
const LONGEST_SHOWN = 60;

/** A value as it stands in the file. Never a part of one: half a secret could not be told as such. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  if (typeof value !== 'object' || text.length <= LONGEST_SHOWN) return text;
  return Array.isArray(value) ? '[ … ]' : '{ … }';
}
