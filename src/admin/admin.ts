import { OpenAPIHono } from '@hono/zod-openapi';
import type { TokenCheck } from '../access/tokens.ts';
import type { Administration } from '../hub/administration.ts';
import { Refusal } from '../hub/refusal.ts';
import { addBroadcast, broadcastRoute } from './broadcast.ts';
import { addConnections, connectionRoutes } from './connections.ts';
import { type AdminEnv, guard } from './guard.ts';
import { refuseInput } from './refuse-input.ts';
import { addRooms, roomRoutes } from './rooms.ts';
import { addSchedules, scheduleRoutes } from './schedule-routes.ts';
import type { ScheduleAdministration } from './schedules.ts';

/** What the admin API is made of. */
export interface AdminParts {
  readonly hub: Administration;
  readonly schedules: ScheduleAdministration;
  readonly tokens: TokenCheck;
  readonly maxBodyBytes: number;
}

/** Every call under `/admin`. */
export const adminRoutes = [
  ...Object.values(roomRoutes),
  ...Object.values(connectionRoutes),
  broadcastRoute,
  ...Object.values(scheduleRoutes),
];

/**
 * The admin API, with `/admin` in its paths: mount it at `/`. It throws its refusals; the `onError`
 * of the app that it is mounted in formats them, with `problemResponse`, and logs what is no
 * `Refusal`. Nothing is told to anybody without a token, not even which paths there are.
 */
export function createAdmin(parts: AdminParts): OpenAPIHono<AdminEnv> {
  const app = new OpenAPIHono<AdminEnv>({ defaultHook: refuseInput });
  app.use('/admin/*', guard(parts.tokens));
  addRooms(app, parts.hub);
  addConnections(app, parts.hub);
  addBroadcast(app, parts.hub, parts.maxBodyBytes);
  addSchedules(app, parts.schedules);
  app.all('/admin/*', (c) => {
    throw noSuchCall(c.req.method, c.req.path);
  });
  return app;
}

function noSuchCall(method: string, path: string): Refusal {
  const methods = adminRoutes
    .filter((route) => new RegExp(`^${route.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(path))
    .flatMap((route) => (route.method === 'get' ? ['GET', 'HEAD'] : [route.method.toUpperCase()]));
  if (methods.length === 0) return new Refusal(404, `there is no call ${path}: see /openapi.yaml`);
  const allow = methods.join(', ');
  return new Refusal(405, `${method} is not for ${path}: it takes ${allow}`, { headers: { Allow: allow } });
}
