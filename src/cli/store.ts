import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { systemClock } from '../clock.ts';
import { hasContent } from '../log/store.ts';
import { copyStore, markAsCopy } from '../log/store-backup.ts';
import { StoreError } from '../log/store-error.ts';
import { STORE_FILE } from '../log/store-file.ts';
import { StoreLock } from '../log/store-lock.ts';
import { checkPages } from '../log/store-pages.ts';
import { CommandError, EXIT_FAILED, type Terminal } from './command.ts';
import { checkedConfig } from './configuration.ts';

export interface StoreFlags {
  readonly config?: string;
  readonly path?: string;
}

const MIB = 1_048_576;

/** `belfry store check`: reads all of the store and tells what it has. */
export async function storeCheck(flags: StoreFlags, terminal: Terminal): Promise<void> {
  const folder = folderOf(flags, terminal);
  await exclusively(folder, async (path) => {
    const { damage, entries, bytes } = await checkPages(path, Number.POSITIVE_INFINITY);
    if (damage !== undefined) {
      throw failed(
        `${path} is damaged: ${damage}: restore a backup, or move the folder away to begin with an empty store`,
      );
    }
    const count = (table: string) => entries.get(table) ?? 0;
    const what = `${count('messages')} messages, ${count('records')} records, ${mibOf(bytes)}`;
    terminal.stdout.write(`${path} is in order: ${what}\n`);
  });
}

/** `belfry store compact`: writes the file again, without its free pages. */
export async function storeCompact(flags: StoreFlags, terminal: Terminal): Promise<void> {
  const folder = folderOf(flags, terminal);
  await exclusively(folder, async (path) => {
    const before = statSync(path).size;
    const copy = `${path}.compact`;
    try {
      await checkedCopy(path, copy);
      renameSync(copy, path);
    } finally {
      rmSync(copy, { force: true });
    }
    terminal.stdout.write(`${path}: ${mibOf(before)} before, ${mibOf(statSync(path).size)} now\n`);
  });
}

/** `belfry store backup`: copies the store as it is at one moment, also while a server uses it. */
export async function storeBackup(target: string, flags: StoreFlags, terminal: Terminal): Promise<void> {
  const path = join(folderOf(flags, terminal), STORE_FILE);
  const folder = resolve(terminal.cwd(), target);
  const copy = join(folder, STORE_FILE);
  if (!hasContent(path)) throw failed(`there is no store in ${dirname(path)}`);
  if (existsSync(copy)) throw failed(`${copy} is there already: name a folder without a store`);
  let partial: string | undefined;
  try {
    mkdirSync(folder, { recursive: true });
    partial = mkdtempSync(join(folder, 'partial-'));
    await checkedCopy(path, join(partial, STORE_FILE));
    await markAsCopy(partial);
    renameSync(join(partial, STORE_FILE), copy);
  } catch (error) {
    throw asFailure(`the store cannot be copied to ${folder}`, error);
  } finally {
    if (partial !== undefined) rmSync(partial, { recursive: true, force: true });
  }
  terminal.stdout.write(`${copy}: ${mibOf(statSync(copy).size)}, checked\n`);
}

/** The copy is read before anything relies on it. */
async function checkedCopy(path: string, copy: string): Promise<void> {
  rmSync(copy, { force: true });
  await copyStore(path, copy);
  const { damage } = await checkPages(copy, Number.POSITIVE_INFINITY);
  if (damage !== undefined) throw failed(`${path} is damaged: ${damage}: run "belfry store check"`);
}

/** Works on a store that no server uses. */
async function exclusively(folder: string, work: (path: string) => Promise<void>): Promise<void> {
  const path = join(folder, STORE_FILE);
  if (!hasContent(path)) throw failed(`there is no store in ${folder}`);
  let lock: StoreLock | undefined;
  try {
    lock = await StoreLock.take(folder, systemClock.now());
    await work(path);
  } catch (error) {
    throw asFailure(`the store in ${folder} cannot be used`, error);
  } finally {
    lock?.release();
  }
}

/** The folder that `--path` names, or the configuration. */
function folderOf({ config: file, path }: StoreFlags, terminal: Terminal): string {
  if (path !== undefined) return resolve(terminal.cwd(), path);
  const { label, config, baseDirectory } = checkedConfig(file, terminal);
  const { store } = config;
  if (!store) throw failed(`${label} has no store: write "store": {}, or name its folder with --path`);
  return resolve(baseDirectory, store.path);
}

function asFailure(what: string, error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  if (error instanceof StoreError) return failed(error.message);
  return failed(`${what}: ${error instanceof Error ? error.message : String(error)}`);
}

function failed(line: string): CommandError {
  return new CommandError(EXIT_FAILED, [line]);
}

function mibOf(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
