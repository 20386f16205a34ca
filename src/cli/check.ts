import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { z } from 'zod';
import { systemClock } from '../clock.ts';
import { describeMemory } from '../config/memory-budget.ts';
import { describeSchedules, explainSchedule } from '../config/schedule.ts';
import type { Config } from '../config/schema.ts';
import { CommandError, EXIT_FAILED, type Terminal } from './command.ts';
import { checkedConfig } from './configuration.ts';

/** RFC 3339, the seconds optional. */
const INSTANT = z.union([z.iso.datetime({ offset: true }), z.iso.datetime({ offset: true, precision: -1 })]);
const MAX_RUNS = 1000;

/** `belfry check`: prints that a configuration is in order, the next runs and the memory it permits. */
export function check(file: string | undefined, terminal: Terminal): void {
  const { label, config, baseDirectory } = checkedConfig(file, terminal);
  const memory = describeMemory(config.limits, {
    constrained: process.constrainedMemory(),
    total: totalmem(),
    heap: getHeapStatistics().heap_size_limit,
  });
  const schedules = describeSchedules(config, systemClock.now(), 5);
  terminal.stdout.write(
    `${[`${label} is in order`, ...schedules, ...memory.lines, ...storeLines(config, baseDirectory)].join('\n')}\n`,
  );
  if (memory.warning) terminal.stderr.write(`${memory.warning}\n`);
}

function storeLines({ store }: Config, baseDirectory: string): string[] {
  if (!store) return [];
  const mib = Math.ceil(store.maxBytes / 1024 / 1024);
  return [`store: at most ${mib} MiB in ${resolve(baseDirectory, store.path)}`];
}

export interface ExplainFlags {
  readonly config?: string;
  readonly from?: string;
  readonly count: string;
}

/** `belfry explain`: prints when a schedule runs, and what daylight saving does to it. */
export function explain(schedule: string, flags: ExplainFlags, terminal: Terminal): void {
  const from = flags.from === undefined ? systemClock.now() : instantOf(flags.from);
  const count = Number(flags.count);
  if (!Number.isInteger(count) || count < 1 || count > MAX_RUNS)
    throw failed(`--count: "${flags.count}" is not a whole number from 1 to ${MAX_RUNS}`);
  const { config } = checkedConfig(flags.config, terminal);
  let lines: string[];
  try {
    lines = explainSchedule(config, schedule, from, count);
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error));
  }
  terminal.stdout.write(`${lines.join('\n')}\n`);
}

/** Milliseconds since the epoch. `Date.parse` alone also takes other forms, and days that do not exist. */
function instantOf(text: string): number {
  if (INSTANT.safeParse(text).success) return Date.parse(text);
  throw failed(`--from: "${text}" is not an instant: write "2026-11-20T18:00:00Z"`);
}

function failed(line: string): CommandError {
  return new CommandError(EXIT_FAILED, [line]);
}
