import type { Connection } from '../hub/connection.ts';
import { Refusal } from '../hub/errors.ts';
import { isRoomName } from '../hub/event.ts';
import type { Hub } from '../hub/hub.ts';
import type { ExampleOf, Sent } from './actions.ts';

export interface ExampleParts {
  readonly hub: Pick<Hub, 'refusalOf'>;
  /** Both throw a `Refusal`, and change nothing. */
  readonly checkPublish: (room: string) => void;
  readonly checkSubscribe: (room: string, connection: Connection) => void;
}

/** A room that most servers have. */
const WELL_KNOWN = 'lobby';

/** How many rooms of a connection are tried: each is looked up in all rules. */
const MOST_TRIED = 10;

/** Lines for the actions that every server has. An embedding program's own say themselves what they take. */
export function exampleLines({ hub, checkPublish, checkSubscribe }: ExampleParts): ExampleOf {
  function publish(connection: Connection, sent: Sent): string | undefined {
    const { rooms } = connection;
    if (rooms.size === 0) return subscribe(connection, sent);
    const room = tried(connection, sent).find((each) => rooms.has(each) && passes(() => checkPublish(each)));
    if (room === undefined) return undefined;
    return JSON.stringify({
      action: 'publish',
      ...(rooms.size > 1 && { room }),
      data: { text: 'hello' },
    });
  }

  function subscribe(connection: Connection, sent: Sent): string | undefined {
    const room = [...named(sent), WELL_KNOWN, ...tried(connection, sent)].find(
      (each) => passes(() => checkSubscribe(each, connection)) && hub.refusalOf(each) === undefined,
    );
    return room === undefined ? undefined : JSON.stringify({ action: 'subscribe', room });
  }

  function unsubscribe(connection: Connection, sent: Sent): string | undefined {
    const room = tried(connection, sent).find((each) => connection.rooms.has(each));
    return room === undefined ? undefined : JSON.stringify({ action: 'unsubscribe', room });
  }

  const examples = new Map<unknown, ExampleOf>([
    ['publish', publish],
    ['subscribe', subscribe],
    ['unsubscribe', unsubscribe],
    ['time', () => '{"action":"time","data":{"t0":1795197603001}}'],
  ]);
  return (connection, sent) => examples.get(sent.action)?.(connection, sent);
}

/** The room that a line names, where it names one. */
function named({ room }: Sent): string[] {
  return typeof room === 'string' && isRoomName(room) ? [room] : [];
}

/** The room that a line names, and some of the connection's own. */
function tried({ rooms }: Connection, sent: Sent): string[] {
  const own: string[] = [];
  for (const room of rooms) {
    if (own.length === MOST_TRIED) break;
    own.push(room);
  }
  return [...named(sent), ...own];
}

function passes(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
