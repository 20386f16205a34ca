import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import { Refusal } from '../hub/errors.ts';
import type { Administration } from '../hub/hub.ts';
import { type AuditParts, auditEntry } from './audit.ts';
import type { BodyLimits } from './body.ts';
import { addBroadcast, type BroadcastParts, broadcastRoute } from './broadcast.ts';
import { addConnections, connectionRoutes } from './connections.ts';
import { type AdminEnv, type GuardParts, guard } from './guard.ts';
import { refuseInput } from './input.ts';
import { type ListenerParts, listenerGuard } from './listener-guard.ts';
import { addPublish, publishRoute } from './publish.ts';
import { addRetained, retainedRoutes } from './retained.ts';
import { addRooms, roomRoutes } from './rooms.ts';
import { addSchedules, type ScheduleAdministration, scheduleRoutes } from './schedules.ts';
import { addServer, type ServerAdministration, serverRoutes } from './server.ts';
import { addWaiting, waitingRoutes } from './waiting.ts';

/** What the admin API is made of. */
export interface AdminParts extends GuardParts, BroadcastParts, AuditParts, ListenerParts {
  readonly hub: Administration;
  readonly schedules: ScheduleAdministration;
  readonly server: ServerAdministration;
  readonly metrics: Exposition;
  /** `current` is read for each request; a reload replaces it. */
  readonly settings: ListenerParts['settings'] & { readonly current: AdminSettings };
  /** Called after each call under `/admin`, with its operation in openapi.yaml; `unknown`: there is none. */
  readonly onCalled: (operation: string, status: number) => void;
}

export interface AdminSettings {
  readonly limits: BodyLimits;
  /** `openMetrics`: `/metrics` needs no token. */
  readonly server: { readonly openMetrics: boolean };
}

/** Metrics as text. */
export interface Exposition {
  readonly contentType: string;
  text(): Promise<string>;
}

/** Every call under `/admin`, and the one that publishes to a room. */
export const adminRoutes = [
  ...Object.values(roomRoutes),
  ...Object.values(connectionRoutes),
  broadcastRoute,
  publishRoute,
  ...Object.values(waitingRoutes),
  ...Object.values(retainedRoutes),
  ...Object.values(scheduleRoutes),
  ...Object.values(serverRoutes),
];

/**
 * The admin API, with `/admin` in its paths, `POST /rooms/{room}` and `/metrics`: mount it at `/`. It throws refusals; the
 * `onError` of the app that it is mounted in formats them, with `problemResponse`, and logs every other
 * error. A request without a token learns nothing, not even which paths exist.
 */
export function createAdmin(parts: AdminParts): OpenAPIHono<AdminEnv> {
  const { hub, schedules, server, metrics, settings } = parts;
  const app = new OpenAPIHono<AdminEnv>({ defaultHook: refuseInput });
  const guarded = guard(parts);
  app.use('/admin/*', reported(parts), guarded, newlineAtEnd);
  app.post(publishRoute.getRoutingPath(), reported(parts), listenerGuard(parts, guarded), newlineAtEnd);
  addRooms(app, hub);
  addConnections(app, hub);
  addRetained(app, hub);
  addBroadcast(app, parts);
  addPublish(app, parts);
  addWaiting(app, parts);
  addSchedules(app, schedules);
  addServer(app, server);
  app.all('/admin/*', (c) => {
    throw noSuchCall(c.req.method, c.req.path);
  });
  app.get(
    '/metrics',
    (c, next) => (settings.current.server.openMetrics ? next() : guarded(c, next)),
    async (c) => {
      const text = await metrics.text();
      return c.body(text, 200, { 'Content-Type': metrics.contentType, 'Cache-Control': 'no-store' });
    },
  );
  return app;
}

const calls: ReadonlyMap<string, (typeof adminRoutes)[number]> = new Map(
  adminRoutes.map((route) => [`${route.method.toUpperCase()} ${route.getRoutingPath()}`, route]),
);

/** Counts each call, and tells those that act and that the guard has let in. */
function reported(parts: Pick<AdminParts, 'onCalled'> & AuditParts): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    const beganAtMs = parts.clock.now();
    c.set('notes', {});
    await next();
    const call = callOf(c);
    parts.onCalled(call?.operationId ?? 'unknown', c.res.status);
    const acts = call && !call['x-roles'].includes('viewer');
    if (acts && c.var.holder) parts.onActed(auditEntry(c, call, parts, beganAtMs));
  };
}

/** The router has found the call already, also for a request that is refused before its handler runs. */
function callOf(c: Context): (typeof adminRoutes)[number] | undefined {
  const route = matchedRoutes(c).find(({ method, path }) => calls.has(`${method} ${path}`));
  return route && calls.get(`${route.method} ${route.path}`);
}

/** Adds a newline to an answer in JSON, for terminals and line-based tools. */
const newlineAtEnd: MiddlewareHandler<AdminEnv> = async (c, next) => {
  await next();
  if (c.res.headers.get('content-type') !== 'application/json') return;
  const answer = await c.res.text();
  c.var.notes.answer = answer;
  c.res = new Response(`${answer}\n`, c.res);
};

function noSuchCall(method: string, path: string): Refusal {
  const fits = (pattern: string) => new RegExp(`^${pattern.replace(/\{\w+\}/g, '[^/]+')}$`).test(path);
  const methods = adminRoutes.filter((route) => fits(route.path)).flatMap(methodsOf);
  if (methods.length === 0) return new Refusal(404, `there is no call ${path}: see /openapi.yaml`);
  const allow = methods.join(', ');
  return new Refusal(405, `${method} is not for ${path}: it takes ${allow}`, { headers: { Allow: allow } });
}

/** The methods of a request that a declared call answers. */
export function methodsOf({ method }: { method: string }): string[] {
  return method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()];
}
