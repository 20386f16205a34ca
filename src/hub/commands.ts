import type { Clock } from '../clock.ts';
import type { Log, RecordChange } from '../log/log.ts';
import { CLOSE, type CloseReason } from '../protocol/close-reason.ts';
import type { Connection, Connections } from './connection.ts';
import { Refusal } from './errors.ts';
import { type CloseRoom, lockChange, lockFor, lockOfRecord } from './lock.ts';
import type { RoomClosed, Rooms } from './room.ts';
import type { CurrentSettings } from './settings.ts';

interface Closing {
  /** `lock-room` makes the room where it does not exist. */
  readonly kind: 'close-room' | 'lock-room';
  readonly room: string;
  readonly how: CloseRoom;
}

/** What administrators do to rooms and connections: plain data, so that other nodes can perform it too. */
export type Command =
  | Closing
  | { readonly kind: 'unlock-room'; readonly room: string }
  /** The lock of a room has ended by itself. */
  | { readonly kind: 'forget-lock'; readonly room: string }
  | { readonly kind: 'close-connection'; readonly id: string; readonly reason: string | undefined };

/** What a command did. */
export interface Performed {
  /** The room that was closed; absent where no room was closed. */
  readonly closed?: RoomClosed;
  /**
   * Resolves when the changes of the command survive a crash; rejects with a 503 `Refusal` where they never
   * will.
   */
  readonly stored: Promise<void>;
}

export interface CommandsOptions {
  readonly clock: Clock;
  readonly settings: CurrentSettings;
  readonly log: Log;
  readonly rooms: Rooms;
  readonly connections: Connections;
  /** Called with faults that reach no caller. */
  readonly onFault: (what: string, error: unknown) => void;
  readonly close: (connection: Connection, reason: CloseReason, room?: string) => void;
  /** Ends the place of a member in a room. */
  readonly dismiss: (connection: Connection, room: string, reason: CloseReason) => void;
}

const NOTHING_STORED: Performed = { stored: Promise.resolve() };

/**
 * Performs commands, one after the other. Locks are kept in the records of the log, so that they outlive
 * the process. A lock that cannot be written is not set: its command is refused with 503.
 */
export class Commands {
  readonly #options: CommandsOptions;

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  /** Locks the rooms that were locked when the last process ended, unless their locks have ended meanwhile. */
  async start(): Promise<void> {
    const { clock, log, rooms, onFault } = this.#options;
    const ended: RecordChange[] = [];
    for (const [room, text] of await log.records('lock')) {
      const lock = lockOfRecord(text, clock);
      if (lock.endsAtMs > clock.monotonic()) rooms.lock(room, lock);
      else ended.push(lockChange(room, undefined, clock));
    }
    if (ended.length === 0) return;
    const { stored } = await log.append([], () => ended);
    stored.catch((error) => onFault('locks that have ended could not be removed from the log', error));
  }

  async perform(command: Command): Promise<Performed> {
    switch (command.kind) {
      case 'close-room':
      case 'lock-room':
        return this.#closeRoom(command);
      case 'unlock-room':
        return this.#unlockRoom(command.room);
      case 'forget-lock':
        return this.#forgetLock(command.room);
      case 'close-connection':
        return this.#closeConnection(command.id, command.reason);
    }
  }

  async #closeRoom({ kind, room: name, how }: Closing): Promise<Performed> {
    const { clock, rooms, dismiss } = this.#options;
    const before = rooms.get(name);
    if (!before && kind === 'close-room') return NOTHING_STORED;
    if (!before) this.#checkNumber(name);
    const lock = lockFor(how, clock);
    const changes = lock || before?.lock ? [lockChange(name, lock, clock)] : [];
    const { stored } = await this.#store(changes, {
      refused: `the lock of room "${name}" could not be stored, so the room was not closed: try again`,
      lost: `room "${name}" is closed, but its lock is not stored: a restart would open it; try again`,
    });
    const closed = await rooms.close(name, how, lock, (member, reason) => dismiss(member, name, reason));
    return { closed, stored };
  }

  async #unlockRoom(name: string): Promise<Performed> {
    const { clock, rooms } = this.#options;
    if (!rooms.lockOf(name)) throw new Refusal(404, `room "${name}" is not locked`);
    const performed = await this.#store([lockChange(name, undefined, clock)], {
      refused: `the end of the lock could not be stored, so room "${name}" stays locked: try again`,
      lost: `room "${name}" is open, but that is not stored: a restart would lock it again`,
    });
    rooms.unlock(name);
    return performed;
  }

  async #forgetLock(name: string): Promise<Performed> {
    const { clock, log, rooms } = this.#options;
    // The room may have been locked again meanwhile.
    return rooms.lockOf(name) ? NOTHING_STORED : log.append([], () => [lockChange(name, undefined, clock)]);
  }

  async #closeConnection(id: string, reason: string = CLOSE.byAdministrator.reason): Promise<Performed> {
    const { connections, close } = this.#options;
    close(connections.known(id), { ...CLOSE.byAdministrator, reason });
    return NOTHING_STORED;
  }

  /** Throws a 503 `Refusal` where a room more would be too many. */
  #checkNumber(room: string): void {
    const { rooms, settings } = this.#options;
    const { limits } = settings.current;
    if (rooms.size < limits.rooms || settings.current.isNamed(room)) return;
    const detail = `there are ${rooms.size} rooms, and there may be ${limits.rooms} (limits.rooms)`;
    throw new Refusal(503, `${detail}: open a locked one, or raise the limit`, { reason: 'rooms' });
  }

  /**
   * Resolves when the log has taken the changes. Throws a 503 `Refusal` that says `refused` where it does
   * not, and `stored` rejects with one that says `lost`.
   */
  async #store(
    changes: readonly RecordChange[],
    { refused, lost }: { readonly refused: string; readonly lost: string },
  ): Promise<Performed> {
    if (changes.length === 0) return NOTHING_STORED;
    const { log, onFault } = this.#options;
    const failed = (message: string) => (cause: unknown) => {
      onFault(message, cause);
      throw new Refusal(503, message, { reason: 'internal', cause });
    };
    const appended = await log.append([], () => changes).catch(failed(refused));
    const stored = appended.stored.catch(failed(lost));
    // It may reject before its command is over, and is awaited after that.
    stored.catch(() => {});
    return { stored };
  }
}
