import type { Clock } from '../clock.ts';
import { Refusal, shown } from '../hub/errors.ts';
import { eventText, type JsonText, type RoomEvent } from '../hub/event.ts';
import type { Hub } from '../hub/hub.ts';
import type { CurrentTicks } from '../hub/join.ts';

/** How long the JSON representation waits for a tick that has to be read first. */
const LONGEST_WAIT_MS = 2000;

const DEFAULT_LIMIT = 10;
const LARGEST_LIMIT = 1000;

export interface SnapshotParts {
  readonly hub: Hub;
  readonly currentTicks: CurrentTicks;
  readonly clock: Clock;
}

/** A room as it is now: the newest tick of each schedule, and messages, the newest last. */
export async function roomSnapshot(
  room: string,
  since: string | undefined,
  limit: number,
  { hub, currentTicks, clock }: SnapshotParts,
): Promise<JsonText> {
  const newest = hub.newestId;
  const [{ resumed, messages }, ticks] = await Promise.all([
    hub.history(room, since),
    ticksNow(room, currentTicks, clock),
  ]);
  const connections = hub.memberCount(room);
  // Who polls on gets all of it page by page; who begins gets the newest.
  const page = resumed ? messages.slice(0, limit) : messages.slice(-limit);
  const isCut = resumed && page.length < messages.length;
  const last = isCut ? page.at(-1)?.id : newest;
  const head = JSON.stringify({ room, connections, last, resumed }).slice(0, -1);
  const events = page.map(({ event }) => event);
  return `${head},"ticks":${list(ticks)},"events":${list(events)}}`;
}

/** Reads `?limit=`; throws a 400 `Refusal`. */
export function limitOf(url: URL): number {
  const text = url.searchParams.get('limit');
  if (text === null) return DEFAULT_LIMIT;
  const limit = Number(text);
  if (/^\d+$/.test(text) && limit >= 1 && limit <= LARGEST_LIMIT) return limit;
  throw Refusal.invalid('limit', `${shown(text)} is not a limit: a whole number from 1 to ${LARGEST_LIMIT}`);
}

/** What is at hand, and what can be read soon; a live tick that comes meanwhile is at hand then. */
async function ticksNow(room: string, currentTicks: CurrentTicks, clock: Clock): Promise<RoomEvent[]> {
  const { ticks, coming } = currentTicks.request(room);
  if (coming.length === 0) return [...ticks];
  const read: RoomEvent[] = [];
  const collect = (tick: RoomEvent | undefined) => void (tick && read.push(tick));
  const all = Promise.all(coming.map((tick) => tick.then(collect)));
  let cancel = () => {};
  const patience = new Promise<void>((resolve) => {
    cancel = clock.after(LONGEST_WAIT_MS, resolve);
  });
  await Promise.race([all, patience]);
  cancel();
  const atHand = currentTicks.request(room).ticks;
  const known = new Set(atHand.map(({ tick }) => tick?.schedule));
  return [...atHand, ...read.filter(({ tick }) => !known.has(tick?.schedule))];
}

function list(events: readonly RoomEvent[]): JsonText {
  return `[${events.map(eventText).join(',')}]`;
}
