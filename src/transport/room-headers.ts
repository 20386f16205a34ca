import type { AccessSettings, Caller } from '../access/admission.ts';

type HeaderCaller = Pick<Caller, 'header' | 'peerAddress'>;

/** What every representation of a room carries; a page of an allowed origin may read it, refusals too. */
export function roomHeaders(caller: HeaderCaller, settings: AccessSettings): Record<string, string> {
  return { 'Cache-Control': 'no-store', Vary: 'Accept, Origin', ...originHeaders(caller, settings) };
}

/** What lets a page of an allowed origin read an answer; nothing for others. */
export function originHeaders(
  caller: HeaderCaller,
  { origins, addresses }: AccessSettings,
): Record<string, string> {
  const { protocol } = addresses.of(caller.peerAddress, caller);
  const origin = origins.readableBy(caller.header('origin'), caller.header('host'), protocol);
  if (origin === undefined) return {};
  return { 'Access-Control-Allow-Origin': origin, 'Access-Control-Expose-Headers': 'Retry-After' };
}
