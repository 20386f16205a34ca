#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { banner } from './banner.ts';
import { DEFAULT_URL, watch } from './client/watch.ts';
import { systemClock } from './clock.ts';
import { describeSchedules } from './config/describe-schedules.ts';
import { ConfigError, formatFaults } from './config/faults.ts';
import { type ConfigSource, findConfig } from './config/find.ts';
import { applyOverrides } from './config/overrides.ts';
import { createLogger, type Logger } from './observe/logger.ts';
import { createBelfry } from './server.ts';

/** The configuration is at fault. */
const EXIT_CONFIG = 2;
/** A second signal sooner than this is the first one heard twice: Ctrl-C under `npm start`. */
const SAME_SIGNAL_MS = 1000;
/** What has not ended so long after a second signal hangs. */
const HANGING_MS = 500;

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
  .action(serve);

program
  .command('check [file]')
  .description("check a configuration: its faults, or each schedule's next five runs")
  .action(check);

program
  .command('watch [url]')
  .description(`show what a room sends; lines typed are published (default: ${DEFAULT_URL})`)
  .option('--json', 'print each object as it came, one on a line')
  .action(watchRoom);

await program.parseAsync();

async function serve(flags: ServeOptions): Promise<void> {
  const logger = createLogger(process.stdout);
  const { document, label, baseDirectory } = source(flags.config);
  const belfry = orExit(label, () =>
    createBelfry(applyOverrides(document, { ...flags, env: process.env }), { logger, baseDirectory }),
  );
  stopOnSignals(belfry.stop, logger);
  process.on('uncaughtException', (err) => {
    logger.fatal({ err }, 'a fault that nothing has caught');
    process.exit(1);
  });
  const { host, port } = await belfry.start().catch((error: NodeJS.ErrnoException) => {
    process.stderr.write(`${whyNotListening(error, belfry.config.server)}\n`);
    process.exit(1);
  });
  logger.info({ host, port }, 'listening');
  process.stderr.write(
    banner({
      label,
      host,
      port,
      config: belfry.config,
      next: belfry.schedules.nextDue(),
      madeToken: belfry.madeToken,
    }),
  );
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
  const { document, label, baseDirectory } = source(file);
  const { config } = orExit(label, () =>
    createBelfry(applyOverrides(document, { env: process.env }), { baseDirectory }),
  );
  process.stdout.write(`${label} is in order\n`);
  for (const line of describeSchedules(config, systemClock.now(), 5)) process.stdout.write(`${line}\n`);
}

async function watchRoom(url: string = DEFAULT_URL, { json = false }: { json?: boolean }): Promise<void> {
  const ending = new AbortController();
  process.on('SIGINT', () => ending.abort());
  process.on('SIGTERM', () => ending.abort());
  const { stdin: input, stdout: output, stderr: errors } = process;
  process.exit(await watch({ url, input, output, errors, json, signal: ending.signal, clock: systemClock }));
}

/** The configuration by its name, or the usual one. An empty name is a variable that was not set. */
function source(path: string | undefined): ConfigSource {
  return orExit('', () => {
    if (path === '') {
      throw new ConfigError([{ source: 'the configuration', path: '', message: '"" names no file' }]);
    }
    return findConfig({ env: process.env, cwd: process.cwd(), ...(path && { path }) });
  });
}

/** Prints the faults of a configuration, a line each, and ends. */
function orExit<T>(label: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const line of formatFaults(label, error)) process.stderr.write(`${line}\n`);
    return process.exit(EXIT_CONFIG);
  }
}
