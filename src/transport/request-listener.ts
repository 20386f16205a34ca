import type { RequestListener } from 'node:http';
import { getRequestListener, RequestError } from '@hono/node-server';
import { problemResponse } from '../access/problem.ts';
import { Refusal } from '../hub/refusal.ts';

/** Below Node's server, above a Hono app: requests that no `Request` can be made of are told why. */
export function requestListener(fetch: Parameters<typeof getRequestListener>[0]): RequestListener {
  return getRequestListener(fetch, {
    overrideGlobalObjects: false,
    errorHandler: (error) =>
      problemResponse(error instanceof RequestError ? new Refusal(400, error.message) : error),
  });
}
