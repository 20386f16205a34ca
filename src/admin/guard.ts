import type { MiddlewareHandler } from 'hono';
import { type TokenCheck, type TokenHolder, tokenHolder } from '../access/tokens.ts';
import { Refusal } from '../hub/refusal.ts';

/** What the calls know besides the request. */
export interface AdminEnv {
  Variables: { holder: TokenHolder };
}

/** Lets nobody in without a token, and keeps every answer out of caches. */
export function guard(tokens: TokenCheck): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    c.set('holder', tokenHolder(c.req.raw, tokens));
    await next();
    c.header('Cache-Control', 'no-store');
  };
}

/** Stands before the calls that act. */
export const operatorOnly: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const { name, role } = c.var.holder;
  if (role !== 'operator')
    throw new Refusal(403, `this needs a token of the role "operator", and that of "${name}" is a ${role}'s`);
  await next();
};
