import type { Schedule } from './freshness.ts';
import type { Gap, Message, Received, StatusEvent, TickEvent } from './messages.ts';
import type { ClientState } from './reconnecting-client.ts';

/** What `on` listens to. */
export interface ClientEvents {
  message: Message;
  tick: TickEvent;
  status: StatusEvent;
  gap: Gap;
  /** The retained messages, after a change. */
  retained: ReadonlyMap<string, Message>;
  /** A schedule whose freshness has changed. */
  freshness: Schedule;
  /** The connection. */
  state: ClientState;
  /** After an exchange of the clocks. */
  clock: { readonly offsetMs: number; readonly errorMs: number };
  /** Every object as it came, also what the others leave out: `hello`, `heartbeat`, replies. */
  received: Received;
  /** Something that is no JSON object, or a token that could not be renewed; the client goes on. */
  error: Error;
}
