/** Why the server closes a connection, and whether and when to reconnect. */
export interface CloseReason {
  readonly code: number;
  readonly reason: string;
  readonly reconnect: boolean;
  /** Absent where `reconnect` is false. */
  readonly retryAfterMs?: number;
}

/** What is over with a `closing` event: the connection, or only its place in the room that the event names. */
export type Ends = 'connection' | 'room';

/** The data of a `closing` event. */
export interface Closing extends CloseReason {
  readonly ends: Ends;
}

/** The code of an end that both sides wanted. */
const NORMAL = 1000;

/**
 * Every close code and its reason. Of Belfry's own codes 4000–4099 say: do not reconnect unless `closing` said
 * otherwise; 4100–4199: back off; 4200–4299: reconnect now.
 */
export const CLOSE = {
  normal: { code: NORMAL, reason: 'closed', reconnect: false },
  goingAway: { code: 1001, reason: 'going away', reconnect: true },
  protocolError: { code: 1002, reason: 'protocol error', reconnect: false },
  unsupported: { code: 1003, reason: 'binary frames are not supported: send text', reconnect: false },
  invalidText: { code: 1007, reason: 'text is not UTF-8', reconnect: false },
  policy: { code: 1008, reason: 'against the rules', reconnect: false },
  tooLarge: { code: 1009, reason: 'message too large', reconnect: false },
  internal: { code: 1011, reason: 'internal error', reconnect: true },
  restart: { code: 1012, reason: 'server is restarting', reconnect: true },
  full: { code: 1013, reason: 'server is full', reconnect: true },
  roomClosed: { code: 4001, reason: 'room closed', reconnect: false },
  forbidden: { code: 4003, reason: 'forbidden or token expired', reconnect: false },
  byAdministrator: { code: 4004, reason: 'closed by an administrator', reconnect: false },
  tooSlow: { code: 4101, reason: 'too slow', reconnect: true },
  tooMany: { code: 4129, reason: 'too many messages', reconnect: true },
  noSign: { code: 4201, reason: 'no sign of life', reconnect: true },
} as const satisfies Record<string, CloseReason>;

/** The reason with this code; for one that is not in the table, a fault of the protocol. */
export function closeReason(code: number): CloseReason {
  return inTable(code) ?? CLOSE.protocolError;
}

/**
 * Whether a client may reconnect after a close with this code, where no `closing` event said so. What the
 * server ends for good it says with `closing`; 1002 or 1009 without it may be a fault on the way.
 */
export function mayReconnect(code: number): boolean {
  return code !== NORMAL && (code < 4000 || code > 4099);
}

/** Whether a client may reconnect at once after a close with this code. */
export function mayReconnectNow(code: number): boolean {
  return code >= 4200 && code <= 4299;
}

function inTable(code: number): CloseReason | undefined {
  return Object.values(CLOSE).find((reason) => reason.code === code);
}
