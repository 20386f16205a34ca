import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { instant } from '../clock.ts';
import { StoreError } from './store-error.ts';

/** The process that uses a store, as the lock file in its folder says. */
interface Holder {
  readonly pid: number;
  /** RFC 3339. */
  readonly since: string;
  /** Different for each time that a store is opened. */
  readonly nonce: string;
  /** Name of a socket in the folder that it listens on; null where the folder cannot have one. */
  readonly socket: string | null;
  /** When the process began, as the system counts it; null where the system does not tell. */
  readonly started: string | null;
}

const LOCK_FILE = 'belfry.lock';

/** A lock file that is being written is empty for a moment. */
const READ_TRIES = 20;
const READ_AGAIN_MS = 10;

/** Addresses of sockets are cut off above that; 108 bytes with their end on Linux, 104 on macOS. */
const MAX_SOCKET_PATH_BYTES = 103;

/**
 * Lets one process at a time use a store. Whether the process in the lock file still runs is asked of the
 * system, by a socket on which that process listens: a socket ends with its process, whatever ended it, and
 * is the same for two containers that share the folder, which process ids are not. So a lock that is left
 * over is taken over at once. Where no socket answers, id and start of the process tell, if the system has
 * them: the socket's file may have been removed.
 */
export class StoreLock {
  readonly #folder: string;
  readonly #holder: Holder;
  readonly #server: Server | undefined;

  private constructor(folder: string, holder: Holder, server: Server | undefined) {
    this.#folder = folder;
    this.#holder = holder;
    this.#server = server;
  }

  /** Makes the folder where it is missing. Throws a `StoreError` where it is used, or Node's errors. */
  static async take(folder: string, nowMs: number): Promise<StoreLock> {
    mkdirSync(folder, { recursive: true });
    const nonce = randomBytes(8).toString('hex');
    const name = `belfry-${nonce}.sock`;
    const server = await listening(join(folder, name));
    const holder = {
      pid: process.pid,
      since: instant(nowMs),
      nonce,
      socket: server ? name : null,
      started: startOf(process.pid),
    };
    const lock = new StoreLock(folder, holder, server);
    try {
      await lock.#write();
      return lock;
    } catch (error) {
      server?.close();
      throw error;
    }
  }

  /** Does nothing where another process has taken it over. */
  release(): void {
    const path = join(this.#folder, LOCK_FILE);
    this.#server?.close();
    if (read(path)?.nonce === this.#holder.nonce) rmSync(path, { force: true });
  }

  async #write(): Promise<void> {
    const path = join(this.#folder, LOCK_FILE);
    for (;;) {
      try {
        writeFileSync(path, `${JSON.stringify(this.#holder)}\n`, { flag: 'wx' });
        return;
      } catch (error) {
        if (Object(error).code !== 'EEXIST') throw error;
      }
      let found = read(path);
      for (let tries = 1; !found && tries < READ_TRIES; tries++) {
        await sleep(READ_AGAIN_MS);
        found = read(path);
      }
      if (found && (await isAlive(this.#folder, found))) throw inUse(this.#folder, found);
      this.#takeOver(path, found);
    }
  }

  /** Removes the lock that was found, and not one that another process has put in its place meanwhile. */
  #takeOver(path: string, found: Holder | undefined): void {
    const aside = `${path}.${this.#holder.nonce}`;
    try {
      renameSync(path, aside);
    } catch (error) {
      if (Object(error).code === 'ENOENT') return;
      throw error;
    }
    const moved = read(aside);
    if (moved && moved.nonce !== found?.nonce) {
      renameSync(aside, path);
      return;
    }
    rmSync(aside, { force: true });
    if (found?.socket) rmSync(join(this.#folder, found.socket), { force: true });
  }
}

function inUse(folder: string, { pid, since }: Holder): StoreError {
  const who = pid === process.pid ? 'another server of this process' : `process ${pid}`;
  const instead = 'stop that one, or choose another folder with store.path';
  return new StoreError(`the store in ${folder} is in use by ${who}, since ${since}: ${instead}`);
}

/** `undefined`: there is none, it is not written to its end, or it is something else. */
function read(path: string): Holder | undefined {
  try {
    const { pid, since, nonce, socket, started } = JSON.parse(readFileSync(path, 'utf8'));
    const isHolder = Number.isInteger(pid) && typeof nonce === 'string';
    return isHolder ? { pid, since, nonce, started, socket: socket ?? null } : undefined;
  } catch {
    return undefined;
  }
}

/** `undefined` where the folder cannot have a socket: on Windows, on some network disks, or its path is too long. */
async function listening(path: string): Promise<Server | undefined> {
  if (process.platform === 'win32' || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) return undefined;
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    return server.unref();
  } catch {
    return undefined;
  }
}

async function isAlive(folder: string, { socket, pid, started }: Holder): Promise<boolean> {
  if (socket !== null && (await answers(join(folder, socket)))) return true;
  // A file of a socket can be removed while its process runs. Its start says whether it is the same one.
  if (socket !== null && !started) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is another user's.
    if (Object(error).code !== 'EPERM') return false;
  }
  // The id may be that of another process by now, or our own.
  return startOf(pid) === started;
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // With any other error, as for want of permission, there may be a process.
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) =>
      resolve(!['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(code)),
    );
  });
}

/** When a process began, in ticks since the system did, and which start of the system that was. Linux only. */
function startOf(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    // proc(5): the name may hold spaces and is in parentheses; starttime is field 22.
    const [state, ...others] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /s, '').split(' ');
    // A process that has ended is there until its parent asks for its exit code.
    return state === 'Z' || state === 'X' ? null : `${boot} ${others[18]}`;
  } catch {
    return null;
  }
}
