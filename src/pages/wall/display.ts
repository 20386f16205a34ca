import { type Message, members } from '../../client/messages.ts';

/** What an administrator has asked of this display. */
export type DisplayCommand =
  | { readonly name: 'identify' | 'message'; readonly seconds: number; readonly data: unknown }
  | { readonly name: 'reload' };

const DEFAULT_SECONDS = 10;
const MAX_SECONDS = 3600;

/**
 * Reads `display.identify`, `display.message` and `display.reload`. `undefined` for everything else, and for what a
 * client sent or what is sent again: a display that reloads would reload for ever.
 */
export function displayCommand({ event, data, from, replay }: Message): DisplayCommand | undefined {
  if (from || replay) return undefined;
  const { seconds: asked } = members(data);
  const seconds = typeof asked === 'number' && asked > 0 ? Math.min(asked, MAX_SECONDS) : DEFAULT_SECONDS;
  if (event === 'display.reload') return { name: 'reload' };
  if (event === 'display.identify') return { name: 'identify', seconds, data };
  return event === 'display.message' ? { name: 'message', seconds, data } : undefined;
}
