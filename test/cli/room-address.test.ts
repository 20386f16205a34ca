import { describe, expect, it } from 'vitest';
import { roomAddress } from '../../src/cli/watch.ts';

describe('roomAddress', () => {
  it.each([
    ['lobby', 'ws://127.0.0.1:8080/rooms/lobby'],
    ['ops-eu.1:a', 'ws://127.0.0.1:8080/rooms/ops-eu.1:a'],
    ['/rooms/lobby?device=a', 'ws://127.0.0.1:8080/rooms/lobby?device=a'],
    ['ws://wall:9000/rooms/a', 'ws://wall:9000/rooms/a'],
    ['wss://wall/rooms/a', 'wss://wall/rooms/a'],
    ['http://wall:9000/rooms/a#top', 'ws://wall:9000/rooms/a'],
    ['https://wall/x/rooms/a', 'wss://wall/x/rooms/a'],
    ['http://wall', 'ws://wall/rooms/lobby'],
  ])('takes %s', (typed, address) => {
    expect(roomAddress(typed).href).toBe(address);
  });

  it.each(['', ' ', 'rooms/lobby', 'ftp://wall/rooms/a', 'http://', 'file:///etc/passwd', '-lobby', 'a b'])(
    'refuses %j and says what it takes',
    (typed) => {
      expect(() => roomAddress(typed)).toThrow(/is no address: write a room, .*rooms\/lobby/);
    },
  );
});
