import type { JsonText, Sender, Target } from './event.ts';
import type {
  ConnectionEntry,
  ConnectionsQuery,
  Published,
  RoomClosed,
  RoomEntry,
  RoomsQuery,
} from './views.ts';

/** What somebody wants published. */
export interface Publication {
  readonly target: Target;
  readonly event: string;
  readonly data: JsonText;
  /** Absent: the server's own words, or an administrator's. */
  readonly from?: Sender;
  /** Answer as if it had been sent, and send nothing. */
  readonly dryRun?: boolean;
}

export interface CloseRoom {
  readonly reason?: string;
  /** How long nobody may come in, milliseconds; 0: not at all. */
  readonly lockMs: number;
  /** Whether those sent away may come back afterwards. */
  readonly reconnect: boolean;
}

/**
 * The calls of the hub that act or list. All of them are asynchronous and deal in plain data, so
 * that other nodes can answer later. A `Refusal` is thrown for what cannot be done: 404 for what is
 * not here, 400 for a name, 413 for an event that is too large, 503 where no number can be had.
 */
export interface Administration {
  rooms(query: RoomsQuery): Promise<RoomEntry[]>;
  room(name: string): Promise<RoomEntry>;
  connections(query: ConnectionsQuery): Promise<ConnectionEntry[]>;
  connection(id: string): Promise<ConnectionEntry>;

  publish(publication: Publication): Promise<Published>;
  /** 404 where there is no such room and no lock on it; a locked one is locked anew. */
  closeRoom(name: string, how: CloseRoom): Promise<RoomClosed>;
  /** 404 where the room is not locked. */
  unlockRoom(name: string): Promise<void>;
  /** Closes with 4004; 404 where there is no such connection. */
  closeConnection(id: string, reason?: string): Promise<void>;
}
