import { Refusal } from '../hub/errors.ts';
import { isExact, type RoomMatcher, roomMatcher } from '../hub/event.ts';
import type { Subscriber } from '../hub/subscriber.ts';

export const SUBSCRIBERS = ['anyone', 'token', 'nobody'] as const;
export const PUBLISHERS = ['members', 'token', 'nobody'] as const;
export const SLOW_RULES = ['latest', 'close'] as const;

export const THEMES = ['auto', 'light', 'dark'] as const;
export const HOUR_CYCLES = ['h12', 'h23'] as const;

/** What the page of a room shows, and how. Absent members: as the browser and the feed have it. */
export interface PageRule {
  /** In place of the room's name. */
  readonly title?: string | undefined;
  readonly theme: (typeof THEMES)[number];
  /** Names of schedules, in this order; absent: all, in the order of the file. */
  readonly schedules?: readonly string[] | undefined;
  readonly hourCycle?: (typeof HOUR_CYCLES)[number] | undefined;
  /** BCP 47, of dates and numbers. */
  readonly locale?: string | undefined;
  /** Of the clock. */
  readonly timezone?: string | undefined;
}

/** An entry of `rooms` in the config file. The first rule that matches a room counts. */
export interface RoomRule {
  /** A room pattern. */
  readonly match: string;
  readonly subscribe: (typeof SUBSCRIBERS)[number];
  readonly publish: (typeof PUBLISHERS)[number];
  /** Number of messages that are kept. */
  readonly history: number;
  readonly historySeconds: number;
  /** Number of the newest of them that a client gets that joins without an id. */
  readonly joinHistory: number;
  /** A slow consumer gets the latest tick in place of each tick, or is closed. */
  readonly slow: (typeof SLOW_RULES)[number];
  readonly page: PageRule;
}

/** The rule of a room that no other rule matches, and what a rule leaves out. */
export const DEFAULT_RULE: Omit<RoomRule, 'match'> = {
  subscribe: 'anyone',
  publish: 'nobody',
  history: 10,
  historySeconds: 3600,
  joinHistory: 10,
  slow: 'latest',
  page: { theme: 'auto' },
};

/** Who may listen in a room, who may publish there, and how much of it is kept. */
export class RoomRules {
  readonly #rules: readonly { rule: RoomRule; index: number; matches: RoomMatcher }[];
  readonly #named: ReadonlySet<string>;

  constructor(rules: readonly RoomRule[]) {
    this.#named = new Set(rules.map(({ match }) => match).filter(isExact));
    this.#rules = rules.map((rule, index) => ({ rule, index, matches: roomMatcher(rule.match) }));
  }

  /** Whether a rule names the room exactly, not by a pattern. */
  isNamed(room: string): boolean {
    return this.#named.has(room);
  }

  /** Number of messages of a room that are kept, and for how many milliseconds. */
  retentionOf(room: string): { readonly messages: number; readonly ms: number } {
    const { history, historySeconds } = this.#find(room)?.rule ?? DEFAULT_RULE;
    return { messages: history, ms: historySeconds * 1000 };
  }

  /** Number of the newest messages that a client gets that joins the room without an id. */
  joinHistoryOf(room: string): number {
    return (this.#find(room)?.rule ?? DEFAULT_RULE).joinHistory;
  }

  /** How the room's page is shown. */
  pageOf(room: string): PageRule {
    return (this.#find(room)?.rule ?? DEFAULT_RULE).page;
  }

  /**
   * Rooms that a rule names exactly and anyone may listen in, in the order of the rules. Not those that only a
   * pattern matches: anyone can make one, by a name of their choice.
   */
  get openRooms(): readonly string[] {
    return [...this.#named].filter((room) => this.isOpen(room));
  }

  /** Whether anyone may listen in the room. */
  isOpen(room: string): boolean {
    return (this.#find(room)?.rule ?? DEFAULT_RULE).subscribe === 'anyone';
  }

  /** Whether a rule is meant for the room: one that matches it and is not for every room. */
  isExpected(room: string): boolean {
    return this.#rules.some(({ rule, matches }) => rule.match !== '*' && matches(room));
  }

  /** Whether a slow consumer gets the latest tick in place of each tick. */
  conflates(room: string): boolean {
    const { slow } = this.#find(room)?.rule ?? DEFAULT_RULE;
    return slow === 'latest';
  }

  /** Whether the client may listen in the room: as `checkSubscribe`. */
  mayListen(room: string, subscriber?: Subscriber): boolean {
    const subscribe = this.#find(room)?.rule.subscribe ?? DEFAULT_RULE.subscribe;
    return subscribe === 'token' ? subscriber?.mayJoin(room) === true : subscribe === 'anyone';
  }

  /** Throws a 401 or 403 `Refusal` where the client may not listen in the room. */
  checkSubscribe(room: string, subscriber?: Subscriber): void {
    const found = this.#find(room);
    if (!found || found.rule.subscribe === 'anyone') return;
    const { rule, index } = found;
    const line = `rooms[${index}].subscribe is "${rule.subscribe}"`;
    if (rule.subscribe === 'nobody') throw new Refusal(403, `nobody may listen in room "${room}": ${line}`);
    if (!subscriber) {
      throw new Refusal(401, `room "${room}" needs a token: ${line}`, {
        headers: { 'WWW-Authenticate': 'Bearer' },
      });
    }
    if (subscriber.mayJoin(room)) return;
    throw new Refusal(403, `the claim "rooms" of the token does not cover room "${room}": ${line}`);
  }

  /**
   * Throws a 403 `Refusal`, naming the config line or the claim that would allow it, where the client may not
   * publish. A client that is no member publishes with a token alone.
   */
  checkPublish(room: string, subscriber?: Subscriber, isMember = true): void {
    const found = this.#find(room);
    const publish = found?.rule.publish ?? DEFAULT_RULE.publish;
    if (publish === 'members' && isMember) return;
    if (found && publish !== 'nobody') {
      if (subscriber?.mayPublish(room)) return;
      const missing = subscriber ? 'the claim "publish" of the token does not cover it' : 'it takes a token';
      throw new Refusal(
        403,
        `you may not publish in room "${room}": rooms[${found.index}].publish is "${publish}", and ${missing}`,
      );
    }
    const remedy = found
      ? `rooms[${found.index}].publish is "${found.rule.publish}": "members" would allow it`
      : `no rule of "rooms" matches it: {"match": "${room}", "publish": "members"} would allow it`;
    throw new Refusal(403, `clients may not publish in room "${room}": ${remedy}`);
  }

  #find(room: string) {
    return this.#rules.find(({ matches }) => matches(room));
  }
}
