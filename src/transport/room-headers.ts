import type { AccessSettings, Caller } from '../access/admission.ts';

/** What every representation of a room carries; a page of an allowed origin may read it, refusals too. */
export function roomHeaders(
  caller: Pick<Caller, 'header' | 'peerAddress'>,
  { origins, addresses }: AccessSettings,
): Record<string, string> {
  const { protocol } = addresses.of(caller.peerAddress, caller);
  const origin = origins.readableBy(caller.header('origin'), caller.header('host'), protocol);
  return {
    'Cache-Control': 'no-store',
    Vary: 'Accept, Origin',
    ...(origin !== undefined && {
      'Access-Control-Allow-Origin': origin,
      'Access-Control-Expose-Headers': 'Retry-After',
    }),
  };
}
