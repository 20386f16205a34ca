import { Refusal } from '../hub/errors.ts';

/** An HTTP answer that says what went wrong, ready for a `Response` or a bare socket. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON of RFC 9457. */
  readonly body: string;
}

/** What is said of an error that was not meant for anybody's eyes. */
const UNEXPECTED = new Refusal(500, 'the server failed here; its log says why');

/**
 * Formats whatever was thrown as a problem of RFC 9457: the one place that does so, for every way
 * in. Anything but a `Refusal` becomes a 500 that reveals nothing; whoever caught it logs it.
 */
export function problem(error: unknown): Problem {
  const refusal = error instanceof Refusal ? error : UNEXPECTED;
  const { status, title, message: detail, details } = refusal;
  const headers: Record<string, string> = {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
    ...details.headers,
  };
  if (details.retryAfterMs !== undefined)
    headers['Retry-After'] = String(Math.max(1, Math.ceil(details.retryAfterMs / 1000)));
  return {
    status,
    headers,
    body: JSON.stringify({ type: 'about:blank', title, status, detail, errors: details.errors }),
  };
}

/** The same as a `Response`. */
export function problemResponse(error: unknown): Response {
  const { status, headers, body } = problem(error);
  return new Response(body, { status, headers });
}
