import { validateHeaderName, validateHeaderValue } from 'node:http';
import querystring from 'node:querystring';

export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

/** Headers that belong to the connection, not to the request. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What is wrong with a header, without its value: that may be a secret. */
export function headerFault(name: string, value: string): string | undefined {
  if (CONNECTION_HEADERS.has(name.toLowerCase())) return `${name} is not for a feed to set: leave it out`;
  try {
    validateHeaderName(name);
  } catch {
    return `${JSON.stringify(name)} is not a header name: write letters, digits and hyphens`;
  }
  try {
    validateHeaderValue(name, value);
  } catch {
    return 'holds a character that no header may have, such as a line break';
  }
  return undefined;
}

/** The headers of the file over our own, in lower case; user and password of the URL as a header. */
export function requestHeaders(url: URL, headers: Readonly<Record<string, string>>): Record<string, string> {
  const login = `${querystring.unescape(url.username)}:${querystring.unescape(url.password)}`;
  return {
    accept: 'application/json, */*;q=0.8',
    'accept-encoding': 'identity',
    'user-agent': 'belfry',
    ...(login === ':' ? {} : { authorization: `Basic ${Buffer.from(login).toString('base64')}` }),
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  };
}
