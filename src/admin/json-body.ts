import type { MiddlewareHandler } from 'hono';
import { Refusal } from '../hub/refusal.ts';

/**
 * Reads the body as JSON whatever its content type says, since `curl -d` says it is a form. What
 * comes after finds JSON that parses. `multipart/*` is a 415, more than `maxBytes` a 413, found
 * out while reading where no length was given; anything but JSON in UTF-8 is a 400.
 */
export function jsonBody(maxBytes: number): MiddlewareHandler {
  return async (c, next) => {
    const { url, method, body } = c.req.raw;
    const headers = new Headers(c.req.raw.headers);
    if (/^\s*multipart\//i.test(headers.get('content-type') ?? ''))
      throw new Refusal(415, 'multipart is not accepted: send the JSON itself as the body');
    if (Number(headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const text = decode(await read(body, maxBytes));
    parse(text);
    headers.set('content-type', 'application/json');
    c.req.raw = new Request(url, { method, headers, body: text });
    await next();
  };
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(413, `the body is larger than ${maxBytes} bytes (limits.maxBodyBytes)`);
}

async function read(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    throw new Refusal(400, 'the body broke off', { cause });
  }
  return Buffer.concat(chunks, bytes);
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Refusal(400, 'the body is not UTF-8', { cause });
  }
}

/** Parses for the sake of the message, which says where the fault is; the framework's does not. */
function parse(text: string): void {
  if (text.trim() === '') throw new Refusal(400, 'the body is empty: send JSON, such as {"data":"hello"}');
  try {
    JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Refusal(400, `the body is not JSON: ${why}`, { errors: [{ path: '', message: why }], cause });
  }
}
