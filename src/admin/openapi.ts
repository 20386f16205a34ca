import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi';
import { adminRoutes } from './admin.ts';
import { refusals, refused } from './answers.ts';
import { publicRoutes } from './public-routes.ts';

const ABOUT = {
  openapi: '3.1.0',
  info: {
    title: 'Belfry',
    version: '1',
    contact: { name: 'Whoever runs the server that this document came from' },
    description:
      'Pushes the time, or any other feed, to every room on a schedule; listeners come over WebSocket or SSE. Every refusal is a problem of RFC 9457. Durations are strings with a unit, `30s`; instants are RFC 3339 in UTC.',
  },
  servers: [{ url: '/', description: 'The server that this document came from.' }],
  tags: [
    { name: 'Listening', description: 'Rooms, as their members see them.' },
    { name: 'Rooms', description: 'Look at rooms, close them, open them again.' },
    { name: 'Connections', description: 'Look at connections and close them.' },
    { name: 'Broadcast', description: 'Send an event.' },
    { name: 'Schedules', description: 'Look at schedules, run, pause and resume them.' },
    { name: 'Server', description: 'Its figures and its configuration.' },
    { name: 'Health', description: 'For those who watch the server.' },
  ],
};

/** What no call under `/admin` answers itself: another method at its address, another host, no server. */
function guarded(path: string, routes: readonly RouteConfig[]) {
  const allow = routes
    .filter((route) => route.path === path)
    .flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
  const address = path.replace(/\{\w+\}/g, 'a');
  return {
    405: refused(405, `PUT is not for ${address}: it takes ${allow.join(', ')}`),
    ...refusals(421, 503),
  };
}

/**
 * The whole HTTP interface as an OpenAPI 3.1 document, made from the routes' own declarations. The
 * server sends the file `openapi.yaml` that is written from it, and never calls this: it takes 30 ms.
 */
export function openApiDocument(): object {
  const { openAPIRegistry, getOpenAPI31Document } = new OpenAPIHono();
  openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'A token of `admin.tokens`; a `viewer` reads, an `operator` also acts.',
  });
  const routes: readonly RouteConfig[] = [...publicRoutes, ...adminRoutes];
  for (const { middleware: _code, responses, ...route } of routes) {
    const more = route.path.startsWith('/admin/') ? guarded(route.path, routes) : {};
    openAPIRegistry.registerPath({ ...route, responses: { ...more, ...responses } });
  }
  return getOpenAPI31Document(ABOUT);
}
