import { type Belfry, createBelfry } from '../belfry.ts';
import { instant, systemClock } from '../clock.ts';
import { applyOverrides } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { FileWatch } from '../config/watch-file.ts';
import { Refusal } from '../hub/errors.ts';
import { StoreError } from '../log/store-error.ts';
import { isLoopback } from '../loopback.ts';
import { createLogger, type Logger, neverBlock, written } from '../observe/log.ts';
import type { Terminal } from './command.ts';
import { findNamed, orCommandError } from './configuration.ts';
import { ProcessEnd } from './process-end.ts';

export interface ServeFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: string;
}

/**
 * `belfry serve`: runs the server in this process until a signal or a fault stops it; only the configuration
 * is found by the terminal's environment and folder. Resolves once it listens; throws a `CommandError` where
 * the configuration has faults.
 */
export async function serve(flags: ServeFlags, terminal: Terminal): Promise<void> {
  const { env } = terminal;
  const find = () => findNamed(flags.config, terminal);
  const overridden = (document: unknown) => applyOverrides(document, { ...flags, env });
  const { document, label, path, baseDirectory } = orCommandError('', find);
  neverBlock(process);
  const logger = await createLogger(process);
  const source = path !== null && { source: { label, read: () => overridden(find().document) } };
  const belfry = orCommandError(label, () =>
    createBelfry(overridden(document), { env, logger, baseDirectory, ...source }),
  );
  const watching = path === null ? undefined : watchConfig(path, belfry, logger);
  const end = new ProcessEnd({
    clock: systemClock,
    logger,
    stop: (signal) => Promise.all([watching?.close(), belfry.stop(signal)]),
    drainSeconds: () => belfry.config.server.drainSeconds,
    exit: (code) => void written(process, systemClock).then(() => process.exit(code)),
  });
  end.listen(process);
  const { host, port } = await belfry.start().catch((error: NodeJS.ErrnoException) => {
    // A signal or a fault came meanwhile: the process ends when all has stopped.
    if (error.name === 'AbortError') return new Promise<never>(() => {});
    const why = error instanceof StoreError ? error.message : whyNotListening(error, belfry.config.server);
    process.stderr.write(`${why}\n`);
    process.exit(1);
  });
  logger.info({ host, port }, 'listening');
  const { config, madeToken } = belfry;
  process.stderr.write(banner({ label, host, port, config, next: belfry.nextDue(), madeToken }));
}

/** Reloads the file when it has changed. `reload` itself logs the faults of a file. */
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

function whyNotListening(
  { code, message }: NodeJS.ErrnoException,
  { host, port }: { host: string; port: number },
): string {
  if (code === 'EADDRINUSE')
    return `port ${port} on ${host} is taken: choose another with --port or BELFRY_PORT`;
  if (code === 'EACCES')
    return `port ${port} on ${host} is not allowed here: choose one above 1023 with --port`;
  if (code === 'EADDRNOTAVAIL')
    return `${host} is not an address of this machine: choose another with --host`;
  return `cannot listen on ${host}, port ${port}: ${message}`;
}

interface BannerParts {
  /** Where the configuration came from. */
  readonly label: string;
  readonly host: string;
  readonly port: number;
  readonly config: Config;
  readonly next: { schedule: string; due: number } | null;
  readonly madeToken: string | undefined;
}

/**
 * What is printed when the server listens: its address, who can connect, the next tick, and commands to copy.
 * A token that was configured is never printed.
 */
function banner({ label, host, port, config, next, madeToken }: BannerParts): string {
  const local = `http://${reachable(host)}:${port}`;
  const base = config.server.publicUrl ?? local;
  const open = isLoopback(host)
    ? 'Only this machine can connect. To open it: --host 0.0.0.0, with BELFRY_ADMIN_TOKEN set.'
    : `Any machine that reaches ${host} can connect.`;
  const names =
    isLoopback(host) || config.server.publicUrl !== undefined
      ? []
      : ['Browsers use an IP address or the name of this machine; for another name set server.publicUrl.'];
  const token = madeToken
    ? ['A token for the admin API, made for this run:', `  export BELFRY_ADMIN_TOKEN=${madeToken}`]
    : ['The admin API takes the tokens that are configured; the lines below use BELFRY_ADMIN_TOKEN.'];
  const bearer = '-H "Authorization: Bearer $BELFRY_ADMIN_TOKEN"';
  const none = config.schedules.length === 0 ? 'there is no schedule' : 'every schedule is paused or over';
  const lines = [
    `Configuration: ${label}`,
    `Belfry rings at ${base}/rooms/lobby`,
    open,
    ...names,
    next ? `Next tick: "${next.schedule}" at ${instant(next.due)}` : `No tick is due: ${none}.`,
    ...token,
    `  curl ${bearer} ${local}/admin/rooms`,
    `  curl ${bearer} ${local}/admin/schedules`,
    `  curl ${bearer} -d '{"data":"hi"}' ${local}/admin/broadcast`,
  ];
  return `${lines.join('\n')}\n`;
}

/** An address to type for the one that is listened on. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}
