import type { Hook } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type InputError, Refusal } from '../hub/refusal.ts';
import { SHOWN_CHARACTERS, shown } from './fields.ts';
import type { AdminEnv } from './guard.ts';

/** A hostile body can be wrong in a hundred thousand places; so many of them are told. */
const MOST_ERRORS = 20;

/** What a part of a request is called in a message. */
const PART: Readonly<Record<string, string>> = { query: 'query parameter', json: 'field' };

/** The hook of every route: input that does not fit is a 400 that names each fault. */
export const refuseInput: Hook<unknown, AdminEnv, string, undefined> = (result) => {
  if (result.success) return undefined;
  const { target, error } = result;
  // The hook's type leaves out what was checked; it is there, failed or not.
  const input = (result as { data?: unknown }).data;
  const errors = error.issues.flatMap((issue) => inputErrors(issue, target, input)).slice(0, MOST_ERRORS);
  throw invalid(errors);
};

/** The 400 for these faults, its text made of theirs. */
export function invalid(errors: readonly InputError[]): Refusal {
  const text = errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return new Refusal(400, text.join('; '), { errors });
}

function inputErrors(issue: z.core.$ZodIssue, target: string, input: unknown): InputError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: pathText([...issue.path, key.slice(0, SHOWN_CHARACTERS)]),
      message: `unknown ${PART[target] ?? 'value'} ${shown(key)}`,
    }));
  const path = pathText(issue.path);
  const repeated = target === 'query' && Array.isArray(Object(input)[path]);
  return [{ path, message: repeated ? 'given more than once' : issue.message }];
}

/** A place as the faults of the config file write it: `rooms[1]`. */
function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}
