import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { Command } from 'commander';
import { z } from 'zod';
import { banner } from './banner.ts';
import { DEFAULT_URL, watch } from './client/watch.ts';
import { systemClock } from './clock.ts';
import { ConfigError, formatFaults, suggest } from './config/errors.ts';
import { applyOverrides, type ConfigSource, findConfig } from './config/load.ts';
import { describeMemory } from './config/memory-budget.ts';
import { describeSchedules, explainSchedule } from './config/schedule.ts';
import type { Config } from './config/schema.ts';
import { FileWatch } from './config/watch-file.ts';
import { Refusal } from './hub/errors.ts';
import { createLogger, type Logger, neverBlock } from './observe/logger.ts';
import { type Belfry, createBelfry } from './server.ts';

/** The configuration is at fault. */
const EXIT_CONFIG = 2;
/** What was asked for cannot be printed. */
const EXIT_OUTPUT = 1;
/** A second signal sooner than this is the first one heard twice: Ctrl-C under `npm start`. */
const SAME_SIGNAL_MS = 1000;
/** What has not ended so long after a second signal hangs. */
const HANGING_MS = 500;

/** RFC 3339, the seconds optional. */
const INSTANT = z.union([z.iso.datetime({ offset: true }), z.iso.datetime({ offset: true, precision: -1 })]);
const MOST_EXPLAINED = 1000;

interface ServeOptions {
  readonly config?: string;
  readonly host?: string;
  readonly port?: string;
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const program = new Command('belfry')
  .description('Pushes the time, or any other feed, to every room on a schedule.')
  .version(version);

program
  .command('serve', { isDefault: true })
  .description('run the server')
  .option('-c, --config <file>', 'the configuration (default: ./belfry.json, else a built-in one)')
  .option('--host <address>', 'the address to listen on')
  .option('--port <number>', 'the port to listen on')
  .allowExcessArguments() // Of which it says more itself.
  .action(serve);

program
  .command('check [file]')
  .description("check a configuration: its faults, or each schedule's next five runs")
  .action(check);

program
  .command('explain <schedule>')
  .description('tell when a schedule runs, and what daylight saving does to it')
  .option('-c, --config <file>', 'the configuration (default: ./belfry.json, else a built-in one)')
  .option('--from <instant>', 'an RFC 3339 instant (default: now)')
  .option('--count <number>', 'how many runs', '10')
  .action(explain);

program
  .command('watch [url]')
  .description(`show what a room sends; lines typed are published (default: ${DEFAULT_URL})`)
  .option('--json', 'print each object as it came, one on a line')
  .action(watchRoom);

/** Thrown to end the program after its message was printed. */
const ENDED = Symbol('ended');

process.stdout.on('error', onOutputError);
// Where standard error is closed as well, nothing is left to report it on.
process.stderr.on('error', () => {});

await program.parseAsync().catch((error) => {
  if (error !== ENDED) throw error;
});

/** A closed pipe, as in `check | head -1`, is no fault: the result holds all the same. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE' || process.exitCode === EXIT_OUTPUT) return;
  process.stderr.write(`standard output cannot be written: ${error.code ?? error.message}\n`);
  process.exitCode = EXIT_OUTPUT;
}

async function serve(flags: ServeOptions, command: Command): Promise<void> {
  refuseWords(command);
  process.stdout.off('error', onOutputError);
  neverBlock(process);
  const logger = createLogger(process);
  const { label, path, baseDirectory } = source(flags.config);
  const read = () => applyOverrides(find(flags.config).document, { ...flags, env: process.env });
  const belfry = orExit(label, () =>
    createBelfry(read(), { logger, baseDirectory, ...(path !== null && { source: { label, read } }) }),
  );
  const watching = path === null ? undefined : watchConfig(path, belfry, logger);
  stopOnSignals(async (signal) => {
    await Promise.all([watching?.close(), belfry.stop(signal)]);
  }, logger);
  process.on('uncaughtException', (err) => {
    logger.fatal({ err }, 'a fault that nothing has caught');
    process.exit(1);
  });
  const { host, port } = await belfry.start().catch((error: NodeJS.ErrnoException) => {
    // A signal came meanwhile: the process ends when all has stopped.
    if (error.name === 'AbortError') return new Promise<never>(() => {});
    process.stderr.write(`${whyNotListening(error, belfry.config.server)}\n`);
    process.exit(1);
  });
  logger.info({ host, port }, 'listening');
  const { config, madeToken } = belfry;
  process.stderr.write(banner({ label, host, port, config, next: belfry.nextDue(), madeToken }));
}

/** `serve` is what runs where no command is named, so that a misspelt command comes here as well. */
function refuseWords({ args: words }: Command): void {
  const [word] = words;
  if (word === undefined) return;
  if (program.args[0] === 'serve') {
    program.error(`error: too many arguments for 'serve'. Expected 0 arguments but got ${words.length}.`);
  }
  const names = program.commands.map((command) => command.name());
  if (names.includes(word)) program.error(`error: the command comes first: write belfry ${word} …`);
  const meant = suggest(word, names);
  const hint = meant === undefined ? `write one of ${names.join(', ')}` : `did you mean ${meant}?`;
  program.error(`error: unknown command '${word}': ${hint}`);
}

/** Takes the file over when it has changed; what is wrong with it `reload` has logged by then. */
function watchConfig(path: string, { reload }: Belfry, logger: Logger): FileWatch {
  const onChange = () =>
    void reload().catch((err) => {
      if (!(err instanceof Refusal)) logger.error({ err }, 'the configuration was not reloaded');
    });
  return new FileWatch(path, {
    onChange,
    onVanished: () => logger.warn({ path }, 'the configuration is gone; what is in force goes on'),
    onError: (err) => logger.warn({ err }, 'the configuration is not watched'),
  });
}

/** The first signal drains, a second one that is not the same ends it now. */
function stopOnSignals(stop: (signal: AbortSignal) => Promise<void>, logger: Logger): void {
  const now = new AbortController();
  let firstAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (firstAt === undefined) {
      firstAt = systemClock.monotonic();
      logger.info({ signal }, 'stopping');
      void stop(now.signal).then(() => {
        logger.info('stopped');
        process.exit(0);
      });
    } else if (systemClock.monotonic() - firstAt > SAME_SIGNAL_MS) {
      now.abort();
      systemClock.after(HANGING_MS, () => process.exit(1));
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

function whyNotListening(
  { code, message }: NodeJS.ErrnoException,
  server: { host: string; port: number },
): string {
  const { host, port } = server;
  if (code === 'EADDRINUSE')
    return `port ${port} on ${host} is taken: choose another with --port or BELFRY_PORT`;
  if (code === 'EACCES')
    return `port ${port} on ${host} is not allowed here: choose one above 1023 with --port`;
  if (code === 'EADDRNOTAVAIL')
    return `${host} is not an address of this machine: choose another with --host`;
  return `cannot listen on ${host}, port ${port}: ${message}`;
}

function check(file: string | undefined): void {
  const { label, config } = checked(file);
  const memory = describeMemory(config.limits, {
    constrained: process.constrainedMemory(),
    total: totalmem(),
    heap: getHeapStatistics().heap_size_limit,
  });
  const schedules = describeSchedules(config, systemClock.now(), 5);
  process.stdout.write(`${[`${label} is in order`, ...schedules, ...memory.lines].join('\n')}\n`);
  if (memory.warning) process.stderr.write(`${memory.warning}\n`);
}

function explain(name: string, flags: { config?: string; from?: string; count: string }): void {
  const from = flags.from === undefined ? systemClock.now() : instantOf(flags.from);
  const count = Number(flags.count);
  if (!Number.isInteger(count) || count < 1 || count > MOST_EXPLAINED) {
    program.error(`--count: "${flags.count}" is not a whole number from 1 to ${MOST_EXPLAINED}`);
  }
  const { config } = checked(flags.config);
  try {
    process.stdout.write(`${explainSchedule(config, name, from, count).join('\n')}\n`);
  } catch (error) {
    program.error(error instanceof Error ? error.message : String(error));
  }
}

/** Milliseconds since the epoch. `Date.parse` alone takes more than one would guess, and days that are not. */
function instantOf(text: string): number {
  if (INSTANT.safeParse(text).success) return Date.parse(text);
  return program.error(`--from: "${text}" is not an instant: write "2026-11-20T18:00:00Z"`);
}

/** A configuration with all its faults printed, if it has any. */
function checked(file: string | undefined): { label: string; config: Config } {
  const { document, label, baseDirectory } = source(file);
  const { config } = orExit(label, () =>
    createBelfry(applyOverrides(document, { env: process.env }), { baseDirectory }),
  );
  return { label, config };
}

async function watchRoom(url: string = DEFAULT_URL, { json = false }: { json?: boolean }): Promise<void> {
  // `watch` reports such errors itself; more of them may follow after it has ended.
  process.stdout.off('error', onOutputError).on('error', () => {});
  const ending = new AbortController();
  process.on('SIGINT', () => ending.abort());
  process.on('SIGTERM', () => ending.abort());
  const { stdin: input, stdout: output, stderr: errors } = process;
  process.exit(await watch({ url, input, output, errors, json, signal: ending.signal, clock: systemClock }));
}

/** The configuration by its name, or the usual one; or its faults, and the end. */
function source(path: string | undefined): ConfigSource {
  return orExit('', () => find(path));
}

/** An empty name is a variable that was not set. */
function find(path: string | undefined): ConfigSource {
  if (path === '') {
    throw new ConfigError([{ source: 'the configuration', path: '', message: '"" names no file' }]);
  }
  return findConfig({ env: process.env, cwd: process.cwd(), ...(path && { path }) });
}

/** Prints the faults of a configuration, a line each, and ends. */
function orExit<T>(label: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${formatFaults(label, error).join('\n')}\n`);
    // Not by `process.exit`, which does not wait until a slow reader has all of it.
    process.exitCode = EXIT_CONFIG;
    throw ENDED;
  }
}
