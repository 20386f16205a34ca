import type { Context } from 'hono';
import type { Clock } from '../clock.ts';
import type { Target } from '../hub/event.ts';
import type { AdminEnv } from './guard.ts';

/**
 * A call that acts, accepted or refused, as the log keeps it. It repeats neither what was sent nor a token.
 */
export interface AuditEntry {
  /** Name of the token; absent for the token of a listener. */
  readonly token?: string;
  /** User of the token of a listener; null where it names none, absent for a token of the admin API. */
  readonly user?: string | null;
  /** Operation in openapi.yaml. */
  readonly action: string;
  /** Names by kind: what the path of the call names, or the target of a broadcast; absent: the whole server. */
  readonly target?: Readonly<Record<string, string | readonly string[]>>;
  /** Status of the answer. */
  readonly status: number;
  /** Number of connections that a message or a closed room reached; absent where the answer has none. */
  readonly reached?: number;
  /** Only the answer was computed. */
  readonly dryRun?: true;
  /** The same request had come before with its `Idempotency-Key`: nothing was done this time. */
  readonly repeated?: true;
  /** Address of the client, where it is known. */
  readonly address?: string;
}

export interface AuditParts {
  readonly clock: Pick<Clock, 'now'>;
  /** The address of the client; `''` where it is not known, as without the bindings of a Node server. */
  readonly addressOf: (c: Context) => string;
  /** Called after each acting call of a known token. */
  readonly onActed: (entry: AuditEntry) => void;
}

/**
 * The entry of a call that has been answered. `path` is that of its declaration, `/admin/rooms/{room}`;
 * `beganAtMs` is when it came, in milliseconds since the epoch.
 */
export function auditEntry(
  c: Context<AdminEnv>,
  { operationId, path }: { readonly operationId: string; readonly path: string },
  { addressOf }: Pick<AuditParts, 'addressOf'>,
  beganAtMs: number,
): AuditEntry {
  const { holder, subscriber, notes } = c.var;
  const target = { ...namesInPath(path, c.req.param()), ...namesOf(notes.target) };
  const reached = reachedBy(operationId, notes.answer, beganAtMs);
  const address = addressOf(c);
  return {
    ...(subscriber ? { user: subscriber.user ?? null } : { token: holder.name }),
    action: operationId,
    ...(Object.keys(target).length > 0 && { target }),
    status: c.res.status,
    ...(reached !== undefined && { reached }),
    ...(notes.dryRun && { dryRun: true }),
    ...(notes.repeated && { repeated: true }),
    ...(address !== '' && { address }),
  };
}

/** Kept of a name, and of a list of names: a request may hold a megabyte of them. */
const MAX_CHARACTERS = 128;
const MAX_NAMES = 20;

/** What a parameter names, by the word before it in the path. */
const KINDS: Readonly<Record<string, string>> = {
  rooms: 'room',
  retained: 'key',
  connections: 'connection',
  broadcasts: 'broadcast',
  schedules: 'schedule',
};

function namesInPath(path: string, values: Readonly<Record<string, string>>): Record<string, string> {
  const names = [...path.matchAll(/(\w+)\/\{(\w+)\}/g)].map(([, word = '', parameter = '']) => [
    KINDS[word] ?? parameter,
    (values[parameter] ?? '').slice(0, MAX_CHARACTERS),
  ]);
  return Object.fromEntries(names);
}

/** The names of a target; every room where it names nothing. */
function namesOf(target: Target | undefined): Record<string, string[]> {
  if (!target) return {};
  const given = Object.entries<readonly string[] | undefined>({ ...target });
  const named = given.filter(([, names]) => names !== undefined);
  if (named.every(([kind]) => kind === 'except')) named.unshift(['rooms', ['*']]);
  return Object.fromEntries(
    named.map(([kind, names = []]) => {
      const kept = names.slice(0, MAX_NAMES).map((name) => name.slice(0, MAX_CHARACTERS));
      const more = names.length - kept.length;
      return [kind, more > 0 ? [...kept, `and ${more} more`] : kept];
    }),
  );
}

/** A run answers its schedule, with the tick that was sent last: that of this run, or of one before. */
function reachedBy(operationId: string, answer: string | undefined, beganAtMs: number): number | undefined {
  if (answer === undefined) return undefined;
  const { connections, last } = Object(JSON.parse(answer));
  if (typeof connections === 'number') return connections;
  if (operationId !== 'runSchedule' || !last) return undefined;
  return Date.parse(last.sent) >= beganAtMs ? last.connections : 0;
}
