import { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { Refusal } from '../hub/errors.ts';
import type { Administration } from '../hub/hub.ts';
import { addBroadcast, broadcastRoute } from './broadcast.ts';
import { addConnections, connectionRoutes } from './connections.ts';
import { type AdminEnv, type GuardParts, guard } from './guard.ts';
import { type BodyLimits, refuseInput } from './input.ts';
import { addRooms, roomRoutes } from './rooms.ts';
import { addSchedules, type ScheduleAdministration, scheduleRoutes } from './schedules.ts';
import { addService, type ServiceAdministration, serviceRoutes } from './service.ts';

/** What the admin API is made of. */
export interface AdminParts extends GuardParts {
  readonly hub: Administration;
  readonly schedules: ScheduleAdministration;
  readonly service: ServiceAdministration;
  readonly metrics: Exposition;
  /** Asked anew for each request. */
  readonly bodyLimits: () => BodyLimits;
  /** Asked anew for each request: whether `/metrics` needs no token. */
  readonly openMetrics: () => boolean;
  /** Hears of each call under `/admin`, by its operation in openapi.yaml; `unknown`: there is none. */
  readonly onCalled: (operation: string, status: number) => void;
}

/** Figures as text, for those who collect them. */
export interface Exposition {
  readonly contentType: string;
  text(): Promise<string>;
}

/** Every call under `/admin`. */
export const adminRoutes = [
  ...Object.values(roomRoutes),
  ...Object.values(connectionRoutes),
  broadcastRoute,
  ...Object.values(scheduleRoutes),
  ...Object.values(serviceRoutes),
];

/**
 * The admin API, with `/admin` in its paths, and `/metrics`: mount it at `/`. It throws its refusals;
 * the `onError` of the app that it is mounted in formats them, with `problemResponse`, and logs what
 * is no `Refusal`. Nothing is told to anybody without a token, not even which paths there are.
 */
export function createAdmin(parts: AdminParts): OpenAPIHono<AdminEnv> {
  const app = new OpenAPIHono<AdminEnv>({ defaultHook: refuseInput });
  const guarded = guard(parts);
  app.use('/admin/*', counted(parts.onCalled), guarded);
  addRooms(app, parts.hub);
  addConnections(app, parts.hub);
  addBroadcast(app, parts.hub, parts.bodyLimits);
  addSchedules(app, parts.schedules);
  addService(app, parts.service);
  app.all('/admin/*', (c) => {
    throw noSuchCall(c.req.method, c.req.path);
  });
  app.get(
    '/metrics',
    (c, next) => (parts.openMetrics() ? next() : guarded(c, next)),
    async (c) => {
      const { contentType } = parts.metrics;
      const text = await parts.metrics.text();
      return c.body(text, 200, { 'Content-Type': contentType, 'Cache-Control': 'no-store' });
    },
  );
  return app;
}

const calls = adminRoutes.map(({ path, method, operationId }) => ({
  address: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
  methods: method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
  operationId,
}));

function counted(onCalled: AdminParts['onCalled']): MiddlewareHandler {
  return async (c, next) => {
    await next();
    const call = calls.find(
      ({ address, methods }) => methods.includes(c.req.method) && address.test(c.req.path),
    );
    onCalled(call?.operationId ?? 'unknown', c.res.status);
  };
}

function noSuchCall(method: string, path: string): Refusal {
  const methods = calls.filter(({ address }) => address.test(path)).flatMap((call) => call.methods);
  if (methods.length === 0) return new Refusal(404, `there is no call ${path}: see /openapi.yaml`);
  const allow = methods.join(', ');
  return new Refusal(405, `${method} is not for ${path}: it takes ${allow}`, { headers: { Allow: allow } });
}
