import { describe, expect, it } from 'vitest';
import { closingWords, eventLine, jsonLine } from '../../src/cli/event-line.ts';

const receivedAtMs = Date.parse('2026-11-20T18:00:03.004Z');
const tick = {
  room: 'lobby',
  event: 'time',
  data: { a: 1 },
  tick: {
    schedule: 'clock',
    due: '2026-11-20T18:00:03.000Z',
    previous: '2026-11-20T18:00:00.000Z',
    next: '2026-11-20T18:00:06.000Z',
    seq: 7,
  },
};

/** Without the time of day, which is that of wherever the test runs. */
const rest = (line: string) => line.replace(/^\d\d:\d\d:\d\d\.\d{3} {2}/, '');

describe('eventLine', () => {
  it('begins with the local time', () => {
    expect(eventLine(tick, receivedAtMs, true)).toMatch(/^\d\d:\d\d:03\.004 {2}lobby/);
  });

  it('gives due, seq and lateness of a tick', () => {
    expect(rest(eventLine(tick, receivedAtMs, true))).toBe(
      'lobby  time  due 2026-11-20T18:00:03.000Z  seq 7  late 4 ms  {"a":1}',
    );
  });

  it('shows a broken chain, and what stood in it', () => {
    expect(eventLine(tick, receivedAtMs, false)).toContain('MISSED what was due 2026-11-20T18:00:00.000Z');
  });

  it('does not call a tick late that is sent again', () => {
    const line = eventLine({ ...tick, replay: true as const, conflated: 3 }, receivedAtMs, true);
    expect(line).not.toContain('late');
    expect(line).toContain('sent again  in place of 3 more');
  });

  it('names the sender of a message', () => {
    const from = { connection: 'a-1', device: 'door' };
    expect(rest(eventLine({ event: 'message', data: 'hi', from }, receivedAtMs, true))).toBe(
      'message  from door  "hi"',
    );
  });

  it('says the status of a schedule in words', () => {
    const line = (data: object) => rest(eventLine({ room: 'lobby', event: 'status', data }, 0, true));
    const status = { schedule: 'prices', state: 'error', since: 'x', lastGood: null };
    expect(line({ ...status, reason: 'http-status' })).toBe(
      'lobby  status  prices: error, the source answered with an error',
    );
    expect(line({ ...status, state: 'ok', reason: null })).toBe('lobby  status  prices: ok');
    expect(line({ ...status, state: 'ok', reason: 'missed', missed: 4 })).toBe(
      'lobby  status  prices: ok, 4 of its instants left out',
    );
    expect(line({ ...status, reason: 'timeout', missed: 1 })).toBe(
      'lobby  status  prices: error, there was no answer in time; 1 of its instants left out',
    );
    expect(line({ ...status, state: 'ok', reason: 'missed', missed: 50, missedAtLeast: true })).toBe(
      'lobby  status  prices: ok, more than 50 of its instants left out',
    );
    // What a server of another version may say.
    expect(line({ ...status, reason: 'timeout', missed: 1, missedAtLeast: 'no' })).toBe(
      'lobby  status  prices: error, there was no answer in time; 1 of its instants left out',
    );
    expect(line({ ...status, reason: 'tired' })).toBe('lobby  status  prices: error, tired');
    expect(line({ ...status, reason: 'toString' })).toBe('lobby  status  prices: error, toString');
    expect(line({ ...status, reason: { a: 1 } })).toBe('lobby  status  prices: error');
  });

  it('lets nothing through that drives a terminal', () => {
    const evil = '\u001b]0;owned\u0007\u009b2J\u007f\r\n\u202e\u2028';
    const from = { connection: 'a-1', device: evil };
    const line = eventLine({ room: evil, event: evil, data: { [evil]: evil }, from }, receivedAtMs, true);
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}]/u);
    expect(line).toContain('\\u001b]0;owned\\u0007\\u009b2J');
  });
});

describe('jsonLine', () => {
  it('keeps the object as it came, on one line', () => {
    const text = '{"big":12345678901234567890,\n\t"a":1.0}';
    expect(jsonLine(text)).toBe('{"big":12345678901234567890,  "a":1.0}');
  });

  it('escapes so that the same value is read', () => {
    const text = JSON.stringify({ data: '\u009b2J\u202e' });
    expect(jsonLine(text)).toBe('{"data":"\\u009b2J\\u202e"}');
    expect(JSON.parse(jsonLine(text))).toEqual(JSON.parse(text));
  });
});

describe('closingWords', () => {
  it('says why, and whether and when to come back', () => {
    const restart = {
      code: 1012,
      reason: 'server is restarting',
      reconnect: true,
      ends: 'connection',
    } as const;
    expect(closingWords({ ...restart, retryAfterMs: 2500 })).toBe(
      'the server is closing: server is restarting (1012); come back in 2.5 s',
    );
    expect(closingWords({ code: 4001, reason: 'over', reconnect: false, ends: 'room' })).toBe(
      'the room is closing: over (4001); do not come back',
    );
  });
});
