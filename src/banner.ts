import { instant } from './clock.ts';
import type { Config } from './config/schema.ts';
import { isLoopback } from './loopback.ts';

/**
 * What `belfry serve` prints when it listens: where to look, who can connect, what comes next, and
 * lines to paste. A token that was configured is never printed.
 */
export function banner(options: {
  /** Where the configuration came from. */
  label: string;
  host: string;
  port: number;
  config: Config;
  next: { schedule: string; due: number } | null;
  madeToken: string | undefined;
}): string {
  const { label, host, port, config, next, madeToken } = options;
  const local = `http://${reachable(host)}:${port}`;
  const base = config.server.publicUrl ?? local;
  const open = isLoopback(host)
    ? 'Only this machine can connect. To open it: --host 0.0.0.0, with BELFRY_ADMIN_TOKEN set.'
    : `Whoever reaches ${host} can connect.`;
  const token = madeToken
    ? ['A token for the admin API, made for this run:', `  export BELFRY_ADMIN_TOKEN=${madeToken}`]
    : ['The admin API takes the tokens that are configured; the lines below use BELFRY_ADMIN_TOKEN.'];
  const bearer = '-H "Authorization: Bearer $BELFRY_ADMIN_TOKEN"';
  const none = config.schedules.length === 0 ? 'there is no schedule' : 'every schedule is paused or over';
  const lines = [
    `Configuration: ${label}`,
    `Belfry rings at ${base}/rooms/lobby`,
    open,
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
