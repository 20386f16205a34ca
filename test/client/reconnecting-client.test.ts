import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ClientState, ReconnectingClient } from '../../src/client/reconnecting-client.ts';
import type { Ending, Wire, WireListener } from '../../src/client/wire.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** A connection that the test drives. */
class FakeWire implements Wire {
  readonly address: string;
  readonly listener: WireListener;
  readonly calls: string[] = [];
  #onClosed: () => void = () => {};

  constructor(address: URL, listener: WireListener) {
    this.address = address.href;
    this.listener = listener;
  }

  async send(text: string): Promise<void> {
    this.calls.push(text);
  }
  pause(): void {
    this.calls.push('pause');
  }
  resume(): void {
    this.calls.push('resume');
  }
  close(): Promise<void> {
    this.calls.push('close');
    return new Promise((resolve) => {
      this.#onClosed = resolve;
    });
  }
  terminate(): void {
    this.calls.push('terminate');
    this.#onClosed();
  }

  receive(object: object): void {
    this.listener.received(JSON.stringify(object));
  }
  lose(code = 1006): void {
    this.listener.ended({ how: 'closed', code, reason: '' });
  }
}

describe('ReconnectingClient', () => {
  let clock: ManualClock;
  let wires: FakeWire[];
  let states: ClientState[];
  let received: unknown[];
  let onState: () => void;
  let client: ReconnectingClient;

  beforeEach(() => {
    clock = new ManualClock();
    wires = [];
    states = [];
    received = [];
    onState = () => {};
    client = make();
    client.connect();
  });

  function make(
    since?: string,
    {
      address = 'http://wall/rooms/lobby?device=door',
      ...more
    }: { address?: string; lookAgainMs?: number } = {},
  ): ReconnectingClient {
    void client?.close();
    return new ReconnectingClient({
      address: () => new URL(address),
      since,
      clock,
      ...more,
      openWire: (address, listener) => {
        const wire = new FakeWire(address, listener);
        wires.push(wire);
        return wire;
      },
      listener: {
        onState(state) {
          states.push(state);
          onState();
        },
        onReceived: (object) => received.push(object),
        onMalformed: (text) => received.push(text),
      },
    });
  }

  /** The newest connection. */
  function wire(): FakeWire {
    const newest = wires.at(-1);
    if (!newest) throw new Error('it has not connected');
    return newest;
  }

  function opened(): FakeWire {
    wire().listener.opened();
    return wire();
  }

  /** The delay of the state it is in. */
  function delayMs(): number {
    const state = states.at(-1);
    if (state?.name !== 'waiting') throw new Error(`it is ${state?.name}`);
    return state.delayMs;
  }

  const names = () => states.map(({ name }) => name);
  const closing = (reconnect: boolean, room?: string, ends = room === undefined ? 'connection' : 'room') => ({
    event: 'closing',
    room,
    data: { code: 4001, reason: 'over', reconnect, ...(reconnect && { retryAfterMs: 7000 }), ends },
  });

  it('hands over what comes, and resumes from the last id', () => {
    const first = opened();
    first.receive({ event: 'hello', id: 'k-1', data: {} });
    first.receive({ event: 'message', id: 'k-2' });
    first.listener.received('[1');
    expect(received).toEqual([
      { event: 'hello', id: 'k-1', data: {} },
      { event: 'message', id: 'k-2' },
      '[1',
    ]);
    first.lose();
    clock.advance(1000);
    expect(wires.map(({ address }) => address)).toEqual([
      'http://wall/rooms/lobby?device=door',
      'http://wall/rooms/lobby?device=door&since=k-2',
    ]);
    expect(names()).toEqual(['connecting', 'open', 'waiting', 'connecting']);
    expect(client.lastId).toBe('k-2');
  });

  it('resumes from the id that it was given', () => {
    make('k-9').connect();
    expect(wire().address).toContain('since=k-9');
  });

  describe('with the longest random delays', () => {
    beforeEach(() => {
      vi.spyOn(Math, 'random').mockReturnValue(0.999);
    });
    afterEach(() => {
      vi.restoreAllMocks();
    });

    it('waits longer after each attempt that fails, and starts small again once a connection has lasted', () => {
      for (const leastMs of [900, 1900, 3900, 7900, 7900]) {
        wire().listener.ended({ how: 'failed', text: 'nobody' });
        expect(delayMs()).toBeGreaterThanOrEqual(leastMs);
        expect(delayMs()).toBeLessThanOrEqual(8000);
        clock.advance(delayMs());
      }
      opened();
      clock.advance(5000);
      wire().lose();
      expect(delayMs()).toBeLessThanOrEqual(1000);
    });

    it('gives up an attempt that is not answered, and counts that as waiting', () => {
      clock.advance(8000);
      expect(wires[0]?.calls).toEqual(['terminate']);
      expect(states[1]).toMatchObject({ name: 'waiting', ending: { how: 'failed' }, delayMs: 0 });
      expect(wires).toHaveLength(2);
    });
  });

  it.each<[string, Ending, number | undefined]>([
    ['stays away', { how: 'refused', status: 423, text: 'over' }, undefined],
    ['tries again, since the server may be told otherwise', { how: 'refused', status: 403, text: 'no' }, 0],
    [
      'waits as long as it says',
      { how: 'refused', status: 423, text: 'later', retryAfterMs: 60_000 },
      60_000,
    ],
    ['tries again', { how: 'refused', status: 502, text: 'Bad Gateway' }, 0],
  ])('%s after a refusal: %o', (_, ending, leastMs) => {
    wire().listener.ended(ending);
    if (leastMs === undefined) expect(states.at(-1)).toEqual({ name: 'closed', ending });
    else expect(delayMs()).toBeGreaterThanOrEqual(leastMs);
    expect(clock.pending).toBe(leastMs === undefined ? 0 : 1);
  });

  describe('what `closing` said', () => {
    it('holds, whatever the code', () => {
      opened().receive(closing(true));
      wire().lose(4001);
      expect(delayMs()).toBe(7000);
    });

    it('is forgotten when it connects again', () => {
      opened().receive(closing(true));
      wire().lose();
      clock.advance(7000);
      opened().lose(4001);
      expect(names().at(-1)).toBe('closed');
    });

    it('of one room of several is not why the connection ended', () => {
      opened().receive({ event: 'hello', data: { rooms: ['a', 'b'] } });
      wire().receive(closing(false, 'a'));
      wire().lose();
      expect(delayMs()).toBeLessThanOrEqual(1000);
    });

    it('of the only room is why the connection ended, also where there is no code, as over SSE', () => {
      opened().receive({ event: 'hello', data: { rooms: ['a'] } });
      wire().receive(closing(false, 'a', 'connection'));
      wire().lose();
      expect(states.at(-1)).toMatchObject({ name: 'closed', ending: { closing: { reason: 'over' } } });
    });

    it('of the last room that a newer token does not cover is not why: the connection stays', () => {
      opened().receive({ event: 'hello', data: { rooms: ['a'] } });
      wire().receive(closing(false, 'a', 'room'));
      wire().receive({ reply: 'subscribe', data: { room: 'b' } });
      expect(names().at(-1)).toBe('open');
      wire().lose();
      expect(names().at(-1)).toBe('waiting');
    });
  });

  describe('a screen that no person looks after', () => {
    beforeEach(() => {
      make(undefined, { lookAgainMs: 60_000 }).connect();
    });

    /** What it waits now. */
    function lookMs(): number {
      const state = states.at(-1);
      return (state?.name === 'waiting' || state?.name === 'closed' ? state.delayMs : undefined) ?? 0;
    }

    it('tries once a minute where it was told to stay away, and says that it was', () => {
      opened().receive(closing(false));
      wire().lose(4001);
      expect(names().at(-1)).toBe('closed');
      for (let minute = 0; minute < 3; minute++) {
        expect(lookMs()).toBeGreaterThanOrEqual(54_000);
        expect(lookMs()).toBeLessThanOrEqual(66_000);
        const before = wires.length;
        clock.advance(lookMs());
        expect(wires).toHaveLength(before + 1);
        wire().listener.ended({ how: 'refused', status: 423, text: 'over' });
        expect(names().at(-1)).toBe('closed');
      }
      clock.advance(lookMs());
      opened();
      expect(names().at(-1)).toBe('open');
    });

    it('tries once a minute where it was told to come back in a year', () => {
      opened().receive({ event: 'closing', data: { code: 4001, reconnect: true, retryAfterMs: 3e10 } });
      wire().lose(4001);
      expect(names().at(-1)).toBe('waiting');
      expect(lookMs()).toBeLessThanOrEqual(66_000);
    });

    it('comes back sooner where it was told to', () => {
      opened().receive(closing(true));
      wire().lose(4001);
      expect(lookMs()).toBe(7000);
    });
  });

  describe('one of several rooms', () => {
    const address = 'http://wall/rooms?room=a&room=b';
    const SENT = { action: 'subscribe', ref: 'a', room: 'a' };
    let several: ReconnectingClient;

    const sent = () => wire().calls.map((text) => JSON.parse(text));
    const joined = (rooms: string[], id = 'k-1') =>
      opened().receive({ event: 'hello', id, data: { rooms, heartbeatSeconds: 1000 } });

    function begin({ since, ...more }: { since?: string; lookAgainMs?: number } = {}): void {
      several = make(since, { address, ...more });
      several.connect();
    }

    it('that was closed for a while is subscribed to again, from what was seen when it closed', () => {
      begin();
      joined(['a', 'b']);
      wire().receive({ event: 'message', id: 'k-2', room: 'b' });
      wire().receive(closing(true, 'a'));
      wire().receive({ event: 'message', id: 'k-9', room: 'b' });
      clock.advance(6999);
      expect(sent()).toEqual([]);
      clock.advance(1);
      expect(sent()).toEqual([{ ...SENT, since: 'k-2' }]);
      // Replayed below what was seen of the other room.
      wire().receive({ event: 'message', id: 'k-3', room: 'a', replay: true });
      expect(several.lastId).toBe('k-2');
      wire().receive({ reply: 'subscribe', ref: SENT.ref, data: { room: 'a', resumed: true } });
      expect(several.lastId).toBe('k-9');
      wire().receive({ event: 'message', id: 'k-10', room: 'a' });
      expect(several.lastId).toBe('k-10');
      expect(names().at(-1)).toBe('open');
    });

    it('that was locked from the start is subscribed to with what the connection began with', () => {
      begin({ since: 'k-0' });
      joined(['b'], 'k-5');
      wire().receive(closing(true, 'a'));
      clock.advance(7000);
      expect(sent()).toEqual([{ ...SENT, since: 'k-0' }]);
    });

    it('that cannot be subscribed to yet is tried again', () => {
      begin();
      joined(['a', 'b']);
      wire().receive(closing(true, 'a'));
      clock.advance(7000);
      wire().receive({ reply: 'subscribe', ref: 'of the user', error: { status: 423 } });
      wire().receive({ reply: 'subscribe', ref: SENT.ref, error: { status: 423 } });
      clock.advance(30_000);
      expect(sent()).toHaveLength(2);
    });

    it('is asked for from the oldest id when the connection is lost meanwhile', () => {
      begin();
      joined(['a', 'b']);
      wire().receive(closing(true, 'a'));
      wire().receive({ event: 'message', id: 'k-9', room: 'b' });
      wire().lose();
      clock.advance(1000);
      expect(wire().address).toBe(`${address}&since=k-1`);
      joined(['a', 'b'], 'k-1');
      wire().receive({ event: 'message', id: 'k-3', room: 'a', replay: true });
      expect(several.lastId).toBe('k-3');
      clock.advance(100_000);
      expect(sent()).toEqual([]);
    });

    it('is come back to by connecting again where nothing can be sent', () => {
      begin();
      // As over SSE.
      Object.defineProperty(wire(), 'send', { value: undefined });
      joined(['a', 'b']);
      wire().receive(closing(true, 'a'));
      const first = wire();
      clock.advance(7000);
      expect(first.calls).toEqual(['terminate']);
      expect(wire().address).toBe(`${address}&since=k-1`);
      expect(names().slice(-2)).toEqual(['open', 'connecting']);
    });

    it('that is closed for good is not asked for again', () => {
      begin();
      joined(['a', 'b']);
      wire().receive(closing(false, 'a'));
      clock.advance(100_000);
      expect(sent()).toEqual([]);
      wire().lose();
      clock.advance(1000);
      expect(wire().address).toBe('http://wall/rooms?room=b&since=k-1');
    });

    it('that is closed for good is tried once a minute by a screen', () => {
      begin({ lookAgainMs: 60_000 });
      joined(['a', 'b']);
      wire().receive(closing(false, 'a'));
      clock.advance(66_000);
      expect(sent()).toEqual([{ ...SENT, since: 'k-1' }]);
      wire().lose();
      clock.advance(1000);
      expect(wire().address).toContain('room=a&room=b');
    });

    it('leaves no timer behind', async () => {
      await client.close();
      begin();
      joined(['a', 'b']);
      wire().receive(closing(true, 'a'));
      const closed = several.close();
      clock.advance(700);
      await closed;
      expect(clock.pending).toBe(0);
    });
  });

  describe('silence', () => {
    beforeEach(() => opened().receive({ event: 'hello', data: { heartbeatSeconds: 2 } }));

    it('ends the connection after two and a half heartbeats', () => {
      clock.advance(4999);
      expect(wire().calls).toEqual([]);
      clock.advance(1);
      expect(wire().calls).toEqual(['terminate']);
      expect(states.at(-1)).toMatchObject({ name: 'waiting', ending: { code: 1006, silentMs: 5000 } });
    });

    it('is broken by anything that comes, pings too', () => {
      clock.advance(4999);
      wire().listener.pinged();
      clock.advance(4999);
      wire().receive({ event: 'heartbeat' });
      clock.advance(4999);
      expect(client.isOpen).toBe(true);
    });

    it('is normal while paused, in the next connection as well', () => {
      client.pause();
      clock.advance(60_000);
      expect(client.isOpen).toBe(true);
      wire().lose();
      clock.advance(1000);
      expect(opened().calls).toEqual(['pause']);
      client.resume();
      expect(wire().calls).toEqual(['pause', 'resume']);
      clock.advance(5000);
      expect(client.isOpen).toBe(false);
    });

    it('is not looked for where there is no connection', () => {
      client.pause();
      wire().lose(1000);
      client.resume();
      expect(clock.pending).toBe(0);
    });
  });

  it('reconnects at once when told to, but only where it waits', () => {
    client.reconnectNow();
    opened();
    client.reconnectNow();
    expect(wires).toHaveLength(1);
    wire().lose();
    client.reconnectNow();
    expect(wires).toHaveLength(2);
    opened();
    clock.advance(60_000);
    expect(wires).toHaveLength(2);
  });

  it('does not reconnect before the time that the server named', () => {
    opened().receive(closing(true));
    wire().lose();
    client.reconnectNow();
    clock.advance(6999);
    expect(wires).toHaveLength(1);
    clock.advance(1);
    expect(wires).toHaveLength(2);
  });

  it('is open with the first event, also where the transport does not say so', () => {
    wire().receive({ event: 'hello', data: {} });
    expect(names()).toEqual(['connecting', 'open']);
  });

  it('is not open where the only event says that it may not come in', () => {
    wire().receive(closing(true));
    wire().lose();
    expect(names()).toEqual(['connecting', 'waiting']);
    expect(delayMs()).toBe(7000);
  });

  it('leaves an open connection for a new one when told to', () => {
    opened().receive({ event: 'message', id: 'k-2' });
    client.restart();
    expect(wires[0]?.calls).toEqual(['terminate']);
    expect(wire().address).toContain('since=k-2');
    expect(names()).toEqual(['connecting', 'open', 'connecting']);
  });

  it('ends a connection that does not answer within four seconds', () => {
    opened().receive({ event: 'hello', data: { heartbeatSeconds: 25 } });
    client.expectAnswer();
    clock.advance(3999);
    wire().receive({ reply: 'time' });
    clock.advance(62_499);
    client.expectAnswer();
    clock.advance(4000);
    expect(states.at(-1)).toMatchObject({ name: 'waiting', ending: { silentMs: 4000 } });
  });

  it('sends only while it is open', async () => {
    expect(client.send('{}')).toBeUndefined();
    opened();
    await client.send('{}');
    expect(wire().calls).toEqual(['{}']);
    wire().lose();
    expect(client.send('{}')).toBeUndefined();
  });

  describe('close', () => {
    it('drops an attempt to connect', async () => {
      await client.close();
      expect(wire().calls).toEqual(['terminate']);
      expect(clock.pending).toBe(0);
    });

    it('closes an open connection, and drops it where the server does not answer', async () => {
      opened();
      const isOver = client.close();
      expect(wire().calls).toEqual(['close']);
      clock.advance(700);
      await isOver;
      expect(wire().calls).toEqual(['close', 'terminate']);
      expect(clock.pending).toBe(0);
    });

    it('ends the waiting, and is no fault a second time', async () => {
      wire().listener.ended({ how: 'failed', text: '' });
      await client.close();
      await client.close();
      clock.advance(60_000);
      expect(wires).toHaveLength(1);
      expect(names()).toEqual(['connecting', 'waiting']);
    });

    it('may be called from the listener', () => {
      opened();
      onState = () => void client.close();
      wire().lose();
      expect(names().at(-1)).toBe('waiting');
      expect(clock.pending).toBe(0);
    });
  });
});
