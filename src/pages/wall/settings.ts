import { members } from '../../client/messages.ts';
import type { TimeStyle } from './clock-text.ts';

/** What the configuration says about the page of a room. */
export interface RoomSettings extends TimeStyle {
  readonly room: string;
  readonly title?: string;
  readonly theme: 'auto' | 'light' | 'dark';
  /** Those that the page shows, in their order. */
  readonly schedules: readonly string[];
  readonly timezone?: string;
  /** Whether this client may publish in the room, and why not. */
  readonly publish?: { readonly allowed: boolean; readonly detail?: string };
}

/**
 * Asks the server how its rooms are to be shown. `undefined` where it does not say, as for a room that is closed at
 * the moment. `address`: of the server's folder.
 */
export async function fetchSettings(
  address: URL,
  rooms: readonly string[],
  token: string | undefined,
): Promise<readonly RoomSettings[] | undefined> {
  const url = new URL('page', address);
  for (const room of rooms) url.searchParams.append('room', room);
  try {
    const answer = await fetch(url, {
      headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    });
    if (!answer.ok) return undefined;
    // What the server's own description promises.
    return members(await answer.json()).rooms as readonly RoomSettings[];
  } catch {
    return undefined;
  }
}
