import { availableParallelism } from 'node:os';
import type { Bench } from './bench.ts';

/** One question about the server, answered by measuring. */
export interface Scenario {
  /** Its name on the command line. */
  readonly name: string;
  readonly question: string;
  /** Runs only when it is named, since it takes many minutes. */
  readonly isLong?: boolean;
  /** Each result is printed as soon as it is there. */
  run(bench: Bench, options: Options): AsyncIterable<Result>;
}

/** One line of output. A target is printed beside a figure and never asserted, since machines differ. */
export interface Result {
  readonly what: string;
  readonly unit?: string;
  readonly belfry: number;
  /** Figures to compare with, by name: of a baseline, or of Belfry in another state. */
  readonly against?: Readonly<Record<string, number>>;
  readonly target?: string;
  readonly note?: string;
}

/** From the command line: `--minutes 5`. */
export type Options = Readonly<Record<string, string | undefined>>;

/** Throws where the option is given and is not a number above zero. */
export function numberOption(options: Options, name: string, fallback: number): number {
  const text = options[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} is ${JSON.stringify(text)}: give a number above 0`);
  return value;
}

/** As one line for people: `what  6.5 µs/frame (0.77 × plain 8.5)`. */
export function lineOf({ what, unit = '', belfry, against = {}, target, note }: Result): string {
  const comparisons = Object.entries(against).map(([name, figure]) => {
    // Of failures, say, a baseline may have none.
    const ratio = figure === 0 ? '' : `${rounded(belfry / figure)} × `;
    return `${ratio}${name} ${rounded(figure)}`;
  });
  const parts = [
    `${String(rounded(belfry)).padStart(8)}${unit && ` ${unit}`}${comparisons.length > 0 ? ` (${comparisons.join(', ')})` : ''}`,
    ...(target ? [`target: ${target}`] : []),
    ...(note ? [note] : []),
  ];
  return `  ${what.padEnd(72)} ${parts.join('; ')}`;
}

/** As one line of JSON, for programs. */
export function jsonOf(scenario: string, result: Result): string {
  const machine = { node: process.version, cpus: availableParallelism() };
  return JSON.stringify({ scenario, ...machine, ...result }, (_key, value) =>
    typeof value === 'number' ? rounded(value) : value,
  );
}

/** Three digits, or all of a whole number: more would claim what was not measured. */
function rounded(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}
