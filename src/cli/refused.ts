import type { IncomingMessage } from 'node:http';
import { members } from '../client/protocol/received.ts';

/** More of a refusal's body than this is not read. */
const LONGEST_BODY_BYTES = 65_536;

/** An upgrade that was turned down. */
export interface Refused {
  readonly words: string;
  /** When it is worth trying again; absent: not by itself. */
  readonly retryAfterMs?: number;
}

/** Reads why an upgrade was refused: status, and the problem's detail where there is one. */
export async function readRefusal(response: IncomingMessage): Promise<Refused> {
  const status = `${response.statusCode} ${response.statusMessage}`;
  const { detail } = members(await body(response));
  const words = typeof detail === 'string' ? `${status}: ${detail}` : status;
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  return Number.isNaN(seconds) ? { words } : { words, retryAfterMs: seconds * 1000 };
}

async function body(response: IncomingMessage): Promise<unknown> {
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk;
      if (text.length > LONGEST_BODY_BYTES) break;
    }
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
