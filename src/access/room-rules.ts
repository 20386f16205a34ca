import { Refusal } from '../hub/errors.ts';
import { isExact, type RoomMatcher, roomMatcher } from '../hub/event.ts';

/** What the config file says of rooms: the first rule that matches counts. */
export interface RoomRule {
  readonly match: string;
  readonly subscribe: 'anyone' | 'token' | 'nobody';
  readonly publish: 'members' | 'token' | 'nobody';
  /** How many messages are kept and shown. */
  readonly history: number;
  readonly historySeconds: number;
  /** What becomes of who does not keep up: it gets the latest tick instead of each, or is closed. */
  readonly slow: 'latest' | 'close';
}

/** Where no rule matches. */
const DEFAULTS = { history: 10, historySeconds: 3600 };

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

  /** How much of a room's messages is kept: how many, and how long in milliseconds. */
  retentionOf(room: string): { readonly messages: number; readonly ms: number } {
    const { history, historySeconds } = this.#find(room)?.rule ?? DEFAULTS;
    return { messages: history, ms: historySeconds * 1000 };
  }

  /** Whether ticks may be replaced by newer ones for who does not keep up. */
  conflates(room: string): boolean {
    return this.#find(room)?.rule.slow !== 'close';
  }

  /** Throws a 401 or 403 `Refusal` where the caller may not listen in the room. */
  checkSubscribe(room: string): void {
    const found = this.#find(room);
    if (!found || found.rule.subscribe === 'anyone') return;
    const { rule, index } = found;
    const line = `rooms[${index}].subscribe is "${rule.subscribe}"`;
    if (rule.subscribe === 'token') {
      throw new Refusal(401, `room "${room}" needs a token: ${line}`, {
        headers: { 'WWW-Authenticate': 'Bearer' },
      });
    }
    throw new Refusal(403, `nobody may listen in room "${room}": ${line}`);
  }

  /** Throws a 403 `Refusal`, naming the config line that would allow it, where members may not publish. */
  checkPublish(room: string): void {
    const found = this.#find(room);
    if (found?.rule.publish === 'members') return;
    const remedy = found
      ? `rooms[${found.index}].publish is "${found.rule.publish}": "members" would allow it`
      : `no rule of "rooms" matches it: {"match": "${room}", "publish": "members"} would allow it`;
    throw new Refusal(403, `clients may not publish in room "${room}": ${remedy}`);
  }

  #find(room: string) {
    return this.#rules.find(({ matches }) => matches(room));
  }
}
