import type { Reservation } from '../access/room-limits.ts';
import type { Clock } from '../clock.ts';
import { CLOSE } from '../hub/close-reason.ts';
import type { Connection } from '../hub/connection.ts';
import { Refusal } from '../hub/errors.ts';
import type { Hub } from '../hub/hub.ts';
import type { Action, ActionCall } from './actions.ts';
import { flagOf, namedRoom, ownRoom, t0Of, textOf } from './sent-fields.ts';

export interface ActionParts {
  readonly hub: Hub;
  readonly clock: Clock;
  /** Throws a `Refusal` where the room's rule does not let its members publish. */
  readonly checkPublish: (room: string) => void;
  /** Counts a message that a client is about to publish; throws a 429 `Refusal` for one too many. */
  readonly countPublish: (room: string) => void;
  /** Throws a `Refusal` where the room's rule, or a limit, does not let the caller listen. */
  readonly checkSubscribe: (room: string, connection: Connection) => void;
  /** Reserves a room that a client is about to enter. */
  readonly reserveRoom: (room: string, connection: Connection) => Reservation;
}

/** The actions that every server has. An embedding program adds its own to the map. */
export function builtInActions({
  hub,
  clock,
  checkPublish,
  countPublish,
  checkSubscribe,
  reserveRoom,
}: ActionParts): Map<string, Action> {
  async function publish({ connection, sent }: ActionCall) {
    const room = ownRoom(sent, connection, 403);
    checkPublish(room);
    if (sent.data === undefined) throw Refusal.invalid('data', '"data" is missing: send any JSON');
    const event = textOf(sent, 'event', 'the name of an event as a string') ?? 'message';
    const isForSelf = flagOf(sent, 'self') !== false;
    const publication = {
      target: { rooms: [room], except: isForSelf ? [] : [connection.id] },
      event,
      data: JSON.stringify(sent.data),
      from: connection.sender,
    };
    // What is refused is not delivered, and so not counted.
    const { id, connections } = await hub.publish(publication, () => countPublish(room));
    return { id, connections };
  }

  async function subscribe({ connection, sent }: ActionCall) {
    const room = namedRoom(sent);
    if (room === undefined) throw Refusal.invalid('room', '"room" is missing: name the room to subscribe to');
    const since = textOf(sent, 'since', 'an id as a string') || undefined;
    checkSubscribe(room, connection);
    const reservation = reserveRoom(room, connection);
    const subscribed = hub.subscribe(connection, room, since);
    reservation.until(subscribed);
    const resumed = await subscribed;
    return { room, resumed: resumed[room] };
  }

  function unsubscribe({ connection, sent }: ActionCall) {
    const room = ownRoom(sent, connection, 404);
    hub.leave(connection, room);
    return { room };
  }

  function close({ connection, afterReply }: ActionCall): void {
    afterReply(() => hub.close(connection, CLOSE.normal));
  }

  return new Map<string, Action>([
    ['ping', () => {}],
    ['echo', ({ sent }) => sent.data ?? null],
    ['time', ({ sent, receivedAtMs }) => ({ t0: t0Of(sent), t1: receivedAtMs, t2: clock.now() })],
    ['publish', publish],
    ['subscribe', subscribe],
    ['unsubscribe', unsubscribe],
    ['close', close],
  ]);
}
