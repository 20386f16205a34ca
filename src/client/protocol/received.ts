export interface Tick {
  readonly schedule: string;
  /** RFC 3339, as the other two. */
  readonly due: string;
  readonly previous: string | null;
  readonly next: string | null;
  readonly seq?: number;
  readonly manual?: true;
}

/** What the server says before it closes. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
  readonly reconnect: boolean;
  readonly retryAfterMs?: number;
}

/** An object from the server: an event, or with `reply` the answer to what was sent. */
export interface Received {
  readonly id?: string;
  readonly room?: string;
  readonly event?: string;
  readonly time?: string;
  readonly data?: unknown;
  readonly tick?: Tick;
  readonly conflated?: number;
  readonly from?: { readonly connection: string; readonly device?: string; readonly user?: string };
  readonly replay?: true;
  readonly reply?: string;
  readonly error?: { readonly status: number; readonly title: string; readonly detail?: string };
}

/** Reads what arrived; `undefined` where it is no JSON object. */
export function parse(text: string): Received | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // The server keeps to its contract for everything but `data`, which stays unknown.
    return typeof value === 'object' && value !== null ? (value as Received) : undefined;
  } catch {
    return undefined;
  }
}

/** The members of a value that may be anything. */
export function members(value: unknown): Readonly<Record<string, unknown>> {
  // Any object can be read as a record of unknowns.
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
