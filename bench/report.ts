import { availableParallelism } from 'node:os';

/** One line of a table. A target stands beside a figure and is never asserted: machines differ. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly belfry: number;
  /** The same, done the plain way in the same minute. */
  readonly plain?: number;
  /** By default Belfry's figure as a part of the plain one. */
  readonly ratio?: number;
  readonly target?: string;
}

const COLUMNS = ['what', 'unit', 'belfry', 'plain', 'ratio', 'target'] as const;

/** Prints a question's figures twice: as a table for people, and as one line of JSON. */
export function print(bench: string, figures: readonly Figure[]): void {
  const full = figures.map((figure) => ({ ...figure, ratio: figure.ratio ?? ratioOf(figure) }));
  const rows = [COLUMNS, ...full.map((figure) => COLUMNS.map((column) => shown(figure[column])))];
  const widths = COLUMNS.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  for (const row of rows) {
    const cells = row.map((cell, index) => {
      const width = widths[index] ?? 0;
      return index >= 2 && index <= 4 ? cell.padStart(width) : cell.padEnd(width);
    });
    console.log(cells.join('  ').trimEnd());
  }
  const machine = { node: process.version, cpus: availableParallelism() };
  console.log(`${JSON.stringify({ bench, ...machine, figures: full }, rounded)}\n`);
}

/**
 * A table whose rows are printed as they come, for what takes long or may break off. A column has a name
 * and a width; below zero it is aligned to the right.
 */
export class Table {
  readonly #columns: readonly (readonly [name: string, width: number])[];
  #isBegun = false;

  constructor(columns: readonly (readonly [name: string, width: number])[]) {
    this.#columns = columns;
  }

  /** A value for each column. */
  print(row: readonly (string | number | undefined)[]): void {
    if (!this.#isBegun) this.#line(this.#columns.map(([name]) => name));
    this.#isBegun = true;
    this.#line(row.map(shown));
  }

  #line(cells: readonly string[]): void {
    const padded = cells.map((cell, index) => {
      const width = this.#columns[index]?.[1] ?? 0;
      return width < 0 ? cell.padStart(-width) : cell.padEnd(width);
    });
    console.log(padded.join('  ').trimEnd());
  }
}

function ratioOf({ belfry, plain }: Figure): number | undefined {
  // Nothing to compare with nothing: of failures both should have none.
  return plain ? belfry / plain : undefined;
}

function shown(value: string | number | undefined): string {
  if (value === undefined) return '';
  return typeof value === 'number' ? String(significant(value)) : value;
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? significant(value) : value;
}

/** Whole numbers as they are, others to three digits: more would claim what was not measured. */
function significant(value: number): number {
  return Number.isInteger(value) || Math.abs(value) >= 1000
    ? Math.round(value)
    : Number(value.toPrecision(3));
}
