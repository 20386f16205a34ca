import type { Readable } from 'node:stream';
import { z } from 'zod';
import type { JsonText } from '../hub/event.ts';
import { FeedError } from './feed.ts';

const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/;
const POINTER_ACCEPTS = 'a JSON Pointer: "" for all, or "/" and a key for each level, such as "/prices/0"';

export const isPointer = (text: string): boolean => POINTER.test(text);

/** The options of every feed that reads content from outside. */
export const contentOptions = {
  maxBytes: z.int().min(1).default(65_536).describe('Largest content that is accepted, in bytes.'),
  pick: z
    .string()
    .refine(isPointer, { error: ({ input }) => `${JSON.stringify(input)} is not ${POINTER_ACCEPTS}` })
    .optional()
    .describe('A JSON Pointer (RFC 6901) to the part of the content to send; all of it where absent.'),
};

/** An object of strings. `faultOf` says what is wrong with one, without its value: that may be a secret. */
export function namedStrings(faultOf: (name: string, value: string) => string | undefined) {
  return z.record(z.string(), z.string()).superRefine((entries, context) => {
    for (const [name, value] of Object.entries(entries)) {
      const message = faultOf(name, value);
      if (message) context.addIssue({ code: 'custom', path: [name], message });
    }
  });
}

/**
 * Reads a stream to its end, and not a chunk further than `maxBytes`: a longer one is destroyed.
 * `subject` is what the error calls the content.
 */
export async function readAtMost(stream: Readable, maxBytes: number, subject: string): Promise<Buffer> {
  // The loop rejects with an error, but not with one that was there before it or comes after.
  stream.on('error', () => {});
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    // Leaving the loop destroys the stream.
    if (bytes > maxBytes) throw tooLarge(maxBytes, subject);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export function tooLarge(maxBytes: number, subject: string): FeedError {
  const message = `${subject} is larger than ${maxBytes} bytes: raise maxBytes if that is as it should be`;
  return new FeedError('too-large', message);
}

/** How bytes become JSON: `either` is JSON if it parses, and otherwise text without the space around it. */
export type Form = 'json' | 'text' | 'either';

/**
 * Content as a feed sends it: JSON text on one line; with `pointer` only what stands there. Throws where
 * it is not UTF-8 (a display that shows replacement characters would hide the fault), not the JSON it
 * claims to be, or has nothing at `pointer`.
 */
export function jsonText(
  bytes: Uint8Array,
  form: Form,
  pointer: string | undefined,
  subject: string,
): JsonText {
  const document = parsed(decoded(bytes, subject), form, subject);
  const value = pointer === undefined ? document : pick(document, pointer);
  if (value === undefined)
    throw new FeedError('not-found', `${subject} holds nothing at ${JSON.stringify(pointer)}`);
  try {
    return JSON.stringify(value);
  } catch (cause) {
    // Parsing has no limit of depth, writing has that of the stack.
    throw new FeedError('not-json', `${subject} is nested too deeply`, { cause });
  }
}

function decoded(bytes: Uint8Array, subject: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FeedError('not-text', `${subject} is not UTF-8`, { cause });
  }
}

function parsed(text: string, form: Form, subject: string): unknown {
  if (form === 'text') return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (form === 'either') return text.trim();
    const detail = cause instanceof Error ? cause.message : cause;
    throw new FeedError('not-json', `${subject} is not JSON: ${detail}`, { cause });
  }
}

const INDEX = /^(?:0|[1-9][0-9]*)$/;

/** What stands at a valid JSON Pointer in a parsed document; undefined: nothing does. */
export function pick(document: unknown, pointer: string): unknown {
  // `~1` first: "~01" is the key "~1", not "/".
  const keys = pointer.split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  let value = document;
  for (const key of keys.slice(1)) {
    if (typeof value !== 'object' || value === null) return undefined;
    // Own properties only: "/__proto__" and "/length" lead nowhere.
    if (!Object.hasOwn(value, key) || (Array.isArray(value) && !INDEX.test(key))) return undefined;
    value = (value as Record<string, unknown>)[key]; // an object that has the key
  }
  return value;
}
