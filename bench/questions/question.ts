import type { Figure } from '../report.ts';
import type { Stage } from '../stage.ts';

/** One thing to know about the server, measured in about a minute. */
export interface Question {
  /** What `npm run bench` calls it. */
  readonly name: string;
  readonly asks: string;
  /** Not asked where no question is named: it takes long. */
  readonly isLong?: boolean;
  ask(stage: Stage, flags: Flags): Promise<Figure[]>;
}

/** From the command line: `--minutes 5`. */
export type Flags = Readonly<Record<string, string | undefined>>;

/** Throws where a flag is there and is not a number above zero. */
export function numberFlag(flags: Flags, name: string, byDefault: number): number {
  const text = flags[name];
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} is ${JSON.stringify(text)}: give a number above 0`);
  return value;
}
