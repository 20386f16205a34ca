import type { MiddlewareHandler } from 'hono';
import type { RoomRules } from '../access/room-rules.ts';
import type { SubscriberTokens } from '../access/subscriber-tokens.ts';
import type { TokenCheck } from '../access/tokens.ts';
import type { AdminEnv } from './guard.ts';

/** What publishing by listeners needs. */
export interface ListenerParts {
  readonly settings: {
    readonly current: {
      readonly tokens: TokenCheck;
      readonly rooms: Pick<RoomRules, 'checkPublish'>;
      readonly subscribers?: Pick<SubscriberTokens, 'verify'> | undefined;
    };
  };
  /** Counts a message of a user. Throws a 429 `Refusal` where the user, or the room, is above its rate. */
  readonly countMessage: (room: string, user: string | undefined) => void;
}

/** The form of a JSON Web Token; a token of the admin API that looks like one still counts as that. */
const SIGNED = /^Bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i;

/**
 * Middleware of `POST /rooms/{room}`: lets in a listener with a token (401 for a wrong one), and asks `guarded`
 * about every other request. Whether the token covers the room is asked later, when the room is known.
 */
export function listenerGuard(
  { settings }: Pick<ListenerParts, 'settings'>,
  guarded: MiddlewareHandler<AdminEnv>,
): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    const { subscribers, tokens } = settings.current;
    const token = c.req.header('authorization')?.match(SIGNED)?.[1];
    if (!subscribers || token === undefined || tokens(token)) return guarded(c, next);
    const subscriber = await subscribers.verify(token);
    const { user, mayPublish } = subscriber;
    c.set('subscriber', subscriber);
    // For the log, and so that each user has keys of its own for `Idempotency-Key`.
    c.set('holder', {
      name: user === undefined ? 'a listener' : `user ${user}`,
      role: 'publisher',
      sha256: `user ${user ?? ''}`,
      covers: mayPublish,
    });
    await next();
    c.header('Cache-Control', 'no-store');
  };
}
