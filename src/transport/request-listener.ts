import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener, RequestError } from '@hono/node-server';
import { Refusal, type RefusalReason } from '../hub/errors.ts';
import { problem, problemResponse } from './problem.ts';
import { headFault } from './request-head.ts';

/**
 * Below Node's server, above a Hono app: requests that are ambiguous, or that no `Request` can be made
 * of, are told why. The promise it returns resolves when all of the answer has been written, or
 * a stream of events has begun.
 */
export function requestListener(
  fetch: Parameters<typeof getRequestListener>[0],
  onRefused: (reason: RefusalReason) => void = () => {},
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const listener = getRequestListener(fetch, {
    overrideGlobalObjects: false,
    errorHandler: (error) =>
      problemResponse(error instanceof RequestError ? new Refusal(400, error.message) : error),
  });
  return async (request, response) => {
    const fault = headFault(request);
    if (!fault) return listener(request, response);
    onRefused(fault.reason);
    refuse(response, fault);
  };
}

function refuse(response: ServerResponse, refusal: Refusal): void {
  const { status, headers, body } = problem(refusal);
  response.shouldKeepAlive = false;
  response.writeHead(status, { 'Content-Length': Buffer.byteLength(body), ...headers });
  response.end(body);
}
