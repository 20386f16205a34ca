import { members } from '../../client/protocol/received.ts';

/** Why nobody was let in. */
export interface Refusal {
  readonly words: string;
  /** Absent: not by itself. */
  readonly retryAfterMs?: number;
}

/**
 * Asks why a connection did not come about: browsers do not show the answer to a refused WebSocket
 * or EventSource, so the same address is read as JSON. `undefined`: nobody is there, or it would
 * be open now.
 */
export async function askWhyRefused(url: URL): Promise<Refusal | undefined> {
  try {
    const answer = await fetch(url, {
      headers: { Accept: 'application/json' },
      signal: AbortSignal.timeout(5000),
    });
    if (answer.ok || answer.status >= 500) return undefined;
    const { title, detail } = members(await answer.json().catch(() => undefined));
    const words = `${answer.status} ${title ?? answer.statusText}${detail ? `: ${detail}` : ''}`;
    const seconds = Number(answer.headers.get('Retry-After') ?? Number.NaN);
    return Number.isNaN(seconds) ? { words } : { words, retryAfterMs: seconds * 1000 };
  } catch {
    return undefined;
  }
}
