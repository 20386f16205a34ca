import { type Context, Hono } from 'hono';
import type { AccessSettings, Admission } from '../access/admission.ts';
import type { PageRule } from '../access/room-rules.ts';
import { type Clock, instant } from '../clock.ts';
import { Refusal } from '../hub/errors.ts';
import type { Hub } from '../hub/hub.ts';
import type { Subscriber } from '../hub/subscriber.ts';
import { callerOf, clientAddressOf, type NodeEnv, representationFor } from './rooms-route.ts';

/** What these routes read of the configuration in force. */
export interface PageSettings extends AccessSettings {
  readonly server: { readonly publicUrl?: string | undefined };
  /** Names of the schedules that reach a room, in the order of the file. */
  schedulesOf(room: string): readonly string[];
}

/** What the front page shows: what everybody may know. */
export interface FrontFacts {
  readonly origin: string;
  readonly rooms: readonly {
    readonly name: string;
    readonly title: string | undefined;
    readonly connections: number;
  }[];
  readonly schedules: readonly { readonly name: string; readonly next: string | null }[];
  readonly time: string;
}

export interface PageRouteParts {
  readonly admission: Pick<Admission, 'check'>;
  readonly settings: { readonly current: PageSettings };
  readonly hub: Pick<Hub, 'memberCount'>;
  readonly clock: Clock;
  /** The next due instant of a schedule in milliseconds; null: none. */
  readonly nextOf: (schedule: string) => number | null;
  readonly frontPage: (facts: FrontFacts, referrer: string | undefined) => Response | Promise<Response>;
}

/** The room that the front page shows where no rule names one. */
const DEFAULT_ROOM = 'lobby';

/** `/page`, which says how rooms are shown, and the front page. */
export function pageRoute(parts: PageRouteParts): Hono<NodeEnv> {
  const app = new Hono<NodeEnv>();
  app.get('/page', async (c) => {
    const caller = callerOf(c);
    // Whoever may listen in the rooms may know how they are shown.
    const url = { pathname: '/rooms', searchParams: caller.url.searchParams };
    const { rooms, subscriber } = await parts.admission.check({ ...caller, url });
    const answer = { rooms: rooms.map((room) => pageOf(room, subscriber, parts.settings.current)) };
    return c.text(`${JSON.stringify(answer)}\n`, 200, {
      'Content-Type': 'application/json',
      'Cache-Control': 'no-store',
    });
  });
  app.get('/', (c) => {
    const accept = c.req.header('accept');
    const isBrowser = accept?.includes('text/html') && representationFor(accept) === 'html';
    // Relative: behind a proxy the server may be at a path that it does not know.
    if (!isBrowser) return c.redirect('rooms/lobby');
    return parts.frontPage(frontFacts(c, parts), c.req.header('referer'));
  });
  return app;
}

/** How a room is shown, and whether this client may publish there. */
interface RoomPage extends Omit<PageRule, 'schedules'> {
  readonly room: string;
  readonly schedules: readonly string[];
  /** Why not, where it may not. */
  readonly publish: { readonly allowed: boolean; readonly detail?: string };
}

function pageOf(room: string, subscriber: Subscriber | undefined, settings: PageSettings): RoomPage {
  const rule = settings.rooms.pageOf(room);
  const all = settings.schedulesOf(room);
  const schedules = rule.schedules?.filter((name) => all.includes(name)) ?? all;
  return { room, ...rule, schedules, publish: publishing(room, subscriber, settings) };
}

function publishing(
  room: string,
  subscriber: Subscriber | undefined,
  { rooms }: PageSettings,
): RoomPage['publish'] {
  try {
    rooms.checkPublish(room, subscriber);
    return { allowed: true };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { allowed: false, detail: error.message };
  }
}

function frontFacts(c: Context<NodeEnv>, { settings, hub, clock, nextOf }: PageRouteParts): FrontFacts {
  const { current } = settings;
  const { rooms: rules, server, addresses } = current;
  const open = rules.openRooms;
  const isDefaultOpen = open.length === 0 && rules.isOpen(DEFAULT_ROOM);
  const names = isDefaultOpen ? [DEFAULT_ROOM] : open;
  const schedules = new Set(names.flatMap((room) => current.schedulesOf(room)));
  const { protocol } = clientAddressOf(c, addresses);
  return {
    origin: server.publicUrl ?? `${protocol ?? 'http'}://${c.req.header('host')}`,
    rooms: names.map((name) => ({
      name,
      title: rules.pageOf(name).title,
      connections: hub.memberCount(name),
    })),
    schedules: [...schedules].map((name) => {
      const next = nextOf(name);
      return { name, next: next === null ? null : instant(next) };
    }),
    time: instant(clock.now()),
  };
}
