import { createHash } from 'node:crypto';
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
  /**
   * Counts a message of a listener. Throws a 429 `Refusal` where the listener, or the room, is above its rate.
   * `sender`: see `listenerId`.
   */
  readonly countMessage: (room: string, sender: string) => void;
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
    // Only the role and `sha256` are read of it: the log has the user.
    c.set('holder', {
      name: 'a listener',
      role: 'publisher',
      sha256: listenerId(user, token),
      covers: mayPublish,
    });
    await next();
    c.header('Cache-Control', 'no-store');
  };
}

/**
 * Tells one listener from another, for rates and for `Idempotency-Key`. A user stays the same with a newer token;
 * of a listener without a user only the token is known. Never the id of a token of the admin API, which holds no
 * blank.
 */
function listenerId(user: string | undefined, token: string): string {
  const id = user === undefined ? `token ${token}` : `user ${user}`;
  return createHash('sha256').update(id).digest('hex');
}
