import { describe, expect, it } from 'vitest';
import { type RoomRule, RoomRules } from '../../src/access/room-rules.ts';
import type { Subscriber } from '../../src/hub/subscriber.ts';

const rule = (match: string, more: Partial<RoomRule> = {}): RoomRule => ({
  match,
  subscribe: 'anyone',
  publish: 'nobody',
  history: 10,
  historySeconds: 3600,
  joinHistory: 10,
  slow: 'latest',
  page: { theme: 'auto' },
  ...more,
});

const subscriber = (more: Partial<Subscriber>): Subscriber => ({
  user: 'ann',
  mayJoin: () => false,
  mayPublish: () => false,
  expiresAtMs: undefined,
  endsAtMs: Number.POSITIVE_INFINITY,
  ...more,
});

describe('RoomRules', () => {
  it('goes by the first rule that matches', () => {
    const rules = new RoomRules([
      rule('ops-open', { publish: 'members', history: 5 }),
      rule('ops-*', { subscribe: 'nobody', history: 0, historySeconds: 1.5 }),
      rule('*', { publish: 'members', history: 3 }),
    ]);
    const kept = ['ops-open', 'ops-1', 'lobby'].map((room) => rules.retentionOf(room).messages);
    expect(kept).toEqual([5, 0, 3]);
    expect(rules.retentionOf('ops-1').ms).toBe(1500);
    expect(() => rules.checkSubscribe('ops-open')).not.toThrow();
    expect(() => rules.checkSubscribe('ops-1')).toThrow('rooms[1].subscribe is "nobody"');
    expect(() => rules.checkPublish('lobby')).not.toThrow();
  });

  it('lets everybody listen, nobody publish, and keeps ten messages an hour where no rule matches', () => {
    const rules = new RoomRules([]);
    expect(rules.retentionOf('lobby')).toEqual({ messages: 10, ms: 3_600_000 });
    expect(() => rules.checkSubscribe('lobby')).not.toThrow();
    expect(() => rules.checkPublish('lobby')).toThrow(
      'no rule of "rooms" matches it: {"match": "lobby", "publish": "members"} would allow it',
    );
  });

  it('knows the rooms that a rule names exactly, also where an earlier pattern goes before it', () => {
    const rules = new RoomRules([rule('ops-*'), rule('lobby'), rule('ops-1')]);
    expect(['lobby', 'ops-1', 'ops-2', 'ops-*'].map((room) => rules.isNamed(room))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('names the line that keeps members from publishing', () => {
    const rules = new RoomRules([rule('a'), rule('*', { publish: 'nobody' })]);
    const check = () => rules.checkPublish('lobby');
    expect(check).toThrow(expect.objectContaining({ status: 403 }));
    expect(check).toThrow('rooms[1].publish is "nobody": "members" would allow it');
  });

  it('lets those publish whose token covers the room, and names the line or the claim to the others', () => {
    const rules = new RoomRules([rule('a'), rule('ops-*', { publish: 'token' })]);
    const check = (subscriber?: Subscriber) => () => rules.checkPublish('ops-1', subscriber);
    expect(check(subscriber({ mayPublish: (room) => room === 'ops-1' }))).not.toThrow();
    for (const each of [check(), check(subscriber({ mayJoin: () => true }))]) {
      expect(each).toThrow(expect.objectContaining({ status: 403 }));
      expect(each).toThrow('rooms[1].publish is "token", and ');
    }
    expect(check()).toThrow('it takes a token');
    expect(check(subscriber({}))).toThrow('the claim "publish" of the token does not cover it');
  });

  it('lets those listen whose token covers the room, where the rule asks for one', () => {
    const rules = new RoomRules([
      rule('open'),
      rule('shut', { subscribe: 'nobody' }),
      rule('*', { subscribe: 'token' }),
    ]);
    const one = subscriber({ mayJoin: (room) => room === 'ops-1' });
    expect(() => rules.checkSubscribe('ops-1', one)).not.toThrow();
    expect(() => rules.checkSubscribe('open', subscriber({}))).not.toThrow();
    expect(() => rules.checkSubscribe('ops-2', one)).toThrow(expect.objectContaining({ status: 403 }));
    expect(() => rules.checkSubscribe('ops-2', one)).toThrow('the claim "rooms" of the token does not cover');
    expect(() => rules.checkSubscribe('shut', subscriber({ mayJoin: () => true }))).toThrow(
      expect.objectContaining({ status: 403 }),
    );
  });

  it('asks for a token where the rule does, with a challenge', () => {
    const rules = new RoomRules([rule('*', { subscribe: 'token' })]);
    expect(() => rules.checkSubscribe('lobby')).toThrow(
      expect.objectContaining({ status: 401, details: { headers: { 'WWW-Authenticate': 'Bearer' } } }),
    );
  });
});
