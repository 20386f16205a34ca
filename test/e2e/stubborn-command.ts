import { existsSync, readFileSync } from 'node:fs';

/** Ends neither by itself nor at a SIGTERM, and neither does its child. Writes down the ids of both, in `pids`. */
export const STUBBORN_COMMAND = [
  'sh',
  '-c',
  'trap "" TERM; sleep 600 & echo $$ $! >> pids; while :; do sleep 1; done',
];

/** The ids in such a file; none where there is no file. */
export function pidsIn(path: string): number[] {
  if (!existsSync(path)) return [];
  return (readFileSync(path, 'utf8').match(/\d+/g) ?? []).map(Number);
}

/** False for a zombie as well: a process that has ended and that its parent has not waited for. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
