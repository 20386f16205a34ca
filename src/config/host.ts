import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { shownHost } from './faults.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Whether a server can be told to listen there: an address, or a name that stands for one. */
export function isHost(text: string): boolean {
  return ipaddr.isValid(text) || NAME.test(text);
}

export function hostFault(text: string): string {
  return `${shownHost(text)} is not a host: write an address or a name, such as "127.0.0.1"`;
}

/** Pages opened from disk, and any page at all: origins that are no address. */
const WORDS: ReadonlySet<string> = new Set(['*', 'null', 'file://']);
/** What apps use in place of http: `capacitor://localhost`. */
const OWN_SCHEME = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(:\d{1,5})?$/;

/** An entry of `allowedOrigins`, written as browsers do: the host in small letters, no default port. */
export const allowedOrigin = z.string().transform((text, context) => {
  const origin = originOf(text);
  if (origin.right !== undefined) return origin.right;
  context.addIssue({ code: 'custom', message: `${shownHost(text)} is not an origin: ${origin.hint}` });
  return z.NEVER;
});

/** The server's own address; a lone slash at the end is what one gets from copying it. */
export const publicUrl = z.string().transform((text, context) => {
  const url = httpUrl(text);
  if (url && isBare(url)) return url.origin;
  const accepted =
    url === undefined
      ? 'one such as "https://wall.example.com"'
      : `"${url.origin}", without path, query or user`;
  context.addIssue({ code: 'custom', message: `${shownHost(text)} is not a public URL: write ${accepted}` });
  return z.NEVER;
});

function originOf(text: string): { right?: string; hint?: string } {
  if (WORDS.has(text)) return { right: text };
  if (/^file:/i.test(text)) return { hint: 'write "file://"' };
  if (text.includes('*')) return { hint: 'write each origin in full, or "*" alone for all' };
  // Browsers send the page's origin, also when it opens a WebSocket.
  const url = httpUrl(text.replace(/^ws(s?):/i, 'http$1:'));
  if (url) {
    const exact = isBare(url) && !text.endsWith('/') && !/^ws/i.test(text);
    return exact ? { right: url.origin } : { hint: `write "${url.origin}"` };
  }
  if (OWN_SCHEME.test(text.toLowerCase()) && !/^https?:/i.test(text)) return { right: text.toLowerCase() };
  const completed = text.includes('://') ? undefined : httpUrl(`https://${text}`);
  return { hint: `write "${completed?.origin ?? 'https://wall.example.com'}"` };
}

function httpUrl(text: string): URL | undefined {
  // `https:host` and blanks pass for a URL as well, and are not what anybody means.
  if (!/^https?:\/\/[^/\\\s][^\\\s]*$/i.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text);
}

function isBare(url: URL): boolean {
  return url.href === `${url.origin}/`;
}
