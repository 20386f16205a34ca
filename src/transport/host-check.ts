import type { MiddlewareHandler } from 'hono';
import type { Origins } from '../access/origins.ts';

/** Lets in only requests to a host that is this server's, see `Origins.checkHost`: 421 for the others. */
export function hostCheck(access: { readonly origins: Origins }): MiddlewareHandler {
  return (c, next) => {
    access.origins.checkHost(c.req.header('host'));
    return next();
  };
}
