import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Admission } from '../../src/access/admission.ts';
import { ClientAddresses } from '../../src/access/client-address.ts';
import { ConnectionLimiter } from '../../src/access/connection-limits.ts';
import { Origins } from '../../src/access/origins.ts';
import { RoomLimiter } from '../../src/access/room-limits.ts';
import { RoomRules } from '../../src/access/room-rules.ts';
import { builtInActions } from '../../src/actions.ts';
import { ConfigError } from '../../src/config/errors.ts';
import { parseJson } from '../../src/config/json.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { feedKinds } from '../../src/feed/kinds.ts';
import type { Connection } from '../../src/hub/connection.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { isRoomName } from '../../src/hub/event.ts';
import { ActionTable } from '../../src/transport/action-table.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { casesOf, type Kind, SEED, TIMEOUT_MS } from './cases.ts';
import { Watch } from './watch.ts';

const runs = (kind: Kind) => ({ numRuns: casesOf(kind), seed: SEED });
const options = { timeout: TIMEOUT_MS };

const OPERATOR = 'an-operators-token';
const PUBLISHER = 'a-publishers-token';

/**
 * Keys and values that mean something, beside any others. Not `length`: zod measures whatever has
 * one, and throws where that is an object which has a `toString` that is none.
 */
const word = fc.oneof(
  fc.constantFrom('action', 'room', 'rooms', 'event', 'data', 'ref', 'since', 'self', 'except', 'devices'),
  fc.constantFrom(
    'server',
    'limits',
    'schedules',
    'every',
    'cron',
    'feed',
    'type',
    'match',
    'tokens',
    'port',
  ),
  fc.constantFrom('ping', 'echo', 'time', 'publish', 'subscribe', 'unsubscribe', 'lobby', '*', '3s', 'ops-*'),
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the configuration's own notation.
  fc.constantFrom('__proto__', 'constructor', 'toString', '', '\0', '\ud800', '${X}', '{{due}}'),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const json = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    word,
    fc.oneof(fc.integer(), fc.double({ noNaN: true }), fc.boolean(), fc.constant(null)),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(word, tie('any'), { maxKeys: 5 }),
  ),
})).any;

/** JSON, JSON that is cut off or has something in its midst, and no JSON at all. */
function jsonText(value: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  const text = value.map((some) => JSON.stringify(some));
  const cut = fc.tuple(text, fc.nat(200)).map(([all, end]) => all.slice(0, end));
  const spiced = fc
    .tuple(
      text,
      fc.nat(200),
      fc.oneof(
        word,
        fc.integer({ min: 1, max: 9000 }).map((deep) => '['.repeat(deep)),
      ),
    )
    .map(([all, at, spice]) => all.slice(0, at) + spice + all.slice(at));
  const nested = fc
    .tuple(text, fc.integer({ min: 1, max: 8000 }))
    .map(([all, deep]) => `${'['.repeat(deep)}${all}${']'.repeat(deep)}`);
  const deepIn = fc
    .tuple(word, fc.integer({ min: 1, max: 8000 }))
    .map(([key, deep]) => `{"action":"echo",${JSON.stringify(key)}:${'['.repeat(deep)}${']'.repeat(deep)}}`);
  return fc.oneof({ weight: 6, arbitrary: text }, cut, spiced, nested, deepIn, fc.string({ unit: 'binary' }));
}

/** An object with the right keys and about the right values. */
const sent = fc.record(
  {
    action: fc.oneof(fc.constantFrom('ping', 'echo', 'time', 'publish', 'subscribe', 'unsubscribe'), json),
    ref: json,
    room: fc.oneof(fc.constantFrom('lobby', 'other'), json),
    event: fc.oneof(fc.constantFrom('message', 'note', 'hello'), json),
    data: fc.oneof(fc.record({ t0: json }), json),
    since: json,
    self: fc.oneof(fc.boolean(), json),
  },
  { requiredKeys: [] },
);

describe('a line of a client', () => {
  const watch = new Watch('lines');

  test('gets one reply', options, async () => {
    const clock = new ManualClock();
    const faults: unknown[] = [];
    const onFault = (_what: string, error: unknown) => void faults.push(error);
    const replies: string[] = [];
    // What actions use of the hub and of a connection.
    const hub = {
      publish: async () => ({ id: 'a-1', connections: 0 }),
      subscribe: async (_connection: unknown, room: string) => ({ [room]: null }),
      leave: () => {},
      refusalOf: () => undefined,
    } as unknown as Parameters<typeof builtInActions>[0]['hub'];
    const connection = {
      id: 'c',
      rooms: new Set(['lobby']),
      sender: { connection: 'c' },
      send: (text: string) => void replies.push(text),
    } as unknown as Connection;
    const actions = builtInActions({
      hub,
      clock,
      access: {
        checkPublish() {},
        checkSubscribe() {},
        reserveRoom: () => ({ release() {} }),
        renew: () => Promise.reject(new Refusal(401, 'the token is wrong')),
        mayStay: () => true,
      },
      roomRates: { take() {} },
    });
    const table = new ActionTable(actions, { clock, onRefused: () => {}, onFault });
    await fc.assert(
      fc.asyncProperty(jsonText(fc.oneof(sent, json)), async (line) => {
        await watch.hold(() => {
          replies.length = 0;
          return table.perform(connection, line, 0);
        });
        if (faults.length > 0) throw faults[0];
        expect(replies).toHaveLength(1);
        const reply = JSON.parse(replies[0] ?? '');
        expect('data' in reply !== 'error' in reply).toBe(true);
        if (reply.error) expect(reply.error.status).toBeLessThan(500);
      }),
      runs('lines'),
    );
  });
});

describe('an address', () => {
  const watch = new Watch('addresses');

  test('is rooms that may be, or refused with a reason', options, async () => {
    const few = 20;
    const current = {
      addresses: new ClientAddresses(['10.0.0.0/8']),
      origins: new Origins({ host: '127.0.0.1', allowedOrigins: ['https://wall.example'] }),
      rooms: new RoomRules([
        {
          match: 'closed',
          subscribe: 'nobody',
          publish: 'nobody',
          history: 1,
          historySeconds: 1,
          joinHistory: 1,
          slow: 'latest',
          page: { theme: 'auto' },
        },
      ]),
      limits: {
        connections: few,
        connectionsPerAddress: few,
        connectsPerSecond: few,
        connectsPerSecondPerAddress: few,
        rooms: few,
        roomsPerConnection: few,
        roomsPerAddress: few,
      },
    };
    const hub = { roomCount: 0, hasRoom: () => false, refusalOf: () => undefined };
    const admission = new Admission({
      settings: { current },
      connections: new ConnectionLimiter({ settings: { current }, clock: new ManualClock() }),
      rooms: new RoomLimiter({ settings: { current }, hub }),
      hub,
      lifecycle: { isOpen: true, checkOpen: () => {} },
      onOriginRefused: () => {},
    });
    const part = fc.oneof(
      fc.constantFrom(
        '/',
        '/rooms',
        '/rooms/',
        'lobby',
        'closed',
        '?room=',
        '&room=',
        '&device=',
        '&since=',
        '%00',
        '%',
        '%2f',
        '//',
        '..',
      ),
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.webQueryParameters(),
      fc.constantFrom('a'.repeat(129), '%ff', '__proto__', '[', '@', ':'),
    );
    const header = fc.oneof(
      fc.constantFrom(undefined, '127.0.0.1:80', 'localhost', '[::1]:8080', 'null'),
      fc.string(),
      fc.webUrl(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 8 }), header, header, async (parts, host, origin) => {
        const address = `http://localhost/${parts.join('').replace(/^\//, '')}`;
        if (!URL.canParse(address)) return;
        const headers: Record<string, string | undefined> = { host, origin };
        const caller = {
          url: new URL(address),
          header: (name: string) => headers[name],
          peerAddress: '10.0.0.1',
        };
        await watch.hold(() => {
          try {
            const admitted = admission.check(caller);
            if (admitted instanceof Promise) throw new Error('no token is looked at here');
            const { rooms } = admitted;
            expect(rooms.length).toBeGreaterThan(0);
            expect(rooms.every(isRoomName)).toBe(true);
            expect(rooms).not.toContain('closed');
          } catch (error) {
            if (!(error instanceof Refusal)) throw error;
            expect([400, 403, 404, 421]).toContain(error.status);
            expect(error.message.length).toBeLessThan(500);
          }
        });
      }),
      runs('addresses'),
    );
  });
});

describe('a configuration', () => {
  const watch = new Watch('configs', {
    maxHoldMs: 1000,
    note: 'an operator writes it: 1000 ms are permitted, since croner takes 50 ms and more to see that a cron never fires',
  });

  test('is accepted, or its faults are named', options, async () => {
    const almost = fc.record(
      {
        server: fc.oneof(
          fc.record({ host: json, port: json, publicUrl: json, allowedOrigins: json }, { requiredKeys: [] }),
          json,
        ),
        admin: fc.record({
          tokens: fc.array(
            fc.oneof(json, fc.record({ name: json, token: json, tokenEnv: json, role: json })),
          ),
        }),
        rooms: fc.oneof(
          json,
          fc.array(fc.record({ match: word, publish: json, history: json }, { requiredKeys: [] }), {
            maxLength: 3,
          }),
        ),
        schedules: fc.oneof(
          json,
          fc.array(
            fc.record(
              {
                name: word,
                every: fc.oneof(word, fc.constantFrom('3s', '0s', '1e9d', '250ms')),
                cron: fc.oneof(word, fc.constantFrom('* * * * *', '0 0 30 2 *', '*/0 * * * *', 'L * * * *')),
                timezone: fc.oneof(word, fc.constantFrom('UTC', 'Europe/Berlin')),
                feed: fc.oneof(
                  json,
                  fc.record({
                    type: fc.oneof(word, fc.constantFrom('time', 'message', 'http', 'file', 'command')),
                    data: json,
                    url: json,
                    argv: json,
                    path: json,
                  }),
                ),
                rooms: json,
              },
              { requiredKeys: [] },
            ),
            { maxLength: 3 },
          ),
        ),
        limits: json,
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(almost, json), async (some) => {
        // As it comes from a file: without prototypes of its own, and with `__proto__` as any key.
        const document = JSON.parse(JSON.stringify(some));
        const before = JSON.stringify(document);
        await watch.hold(() => {
          try {
            parseConfig(document, { feedKinds, env: { X: 'x' } });
          } catch (error) {
            if (!(error instanceof ConfigError)) throw error;
            expect(error.faults.length).toBeGreaterThan(0);
            for (const { message } of error.faults) expect(message).toMatch(/\S/);
          }
        });
        expect(JSON.stringify(document)).toBe(before);
      }),
      runs('configs'),
    );
  });
});

describe('the text of a configuration', () => {
  const watch = new Watch('config texts');

  test('is JSON, or it is said where it is not', options, async () => {
    await fc.assert(
      fc.asyncProperty(jsonText(json), async (text) => {
        let expected: { value: unknown } | undefined;
        try {
          expected = { value: JSON.parse(text) };
        } catch {
          // not JSON
        }
        let read: { value: unknown } | undefined;
        await watch.hold(() => {
          try {
            read = { value: parseJson(text) };
          } catch (error) {
            if (!(error instanceof Error) || !/^line \d+, column \d+: /.test(error.message)) throw error;
            if (expected) expect(error.message).toMatch(/stands twice|levels deep/);
          }
        });
        // Never more than what JSON is; a key that stands twice and depth are refused besides.
        if (read) expect(read).toEqual(expected);
      }),
      runs('config texts'),
    );
  });
});

describe('an admin body', () => {
  const watch = new Watch('admin bodies');
  let server: TestServer;
  beforeAll(async () => {
    const publisher = { name: 'wall', token: PUBLISHER, role: 'publisher', rooms: ['ops-*', 'lobby'] };
    const operator = { name: 'ops', token: OPERATOR, role: 'operator' };
    server = await startServer({ admin: { tokens: [operator, publisher] } });
  });
  afterAll(() => server.stop());

  test('is a broadcast, or refused with a problem', options, async () => {
    const { belfry, logged } = server;
    const body = fc.record(
      {
        rooms: fc.oneof(word, json),
        devices: json,
        connections: json,
        users: json,
        except: json,
        event: fc.oneof(word, json),
        data: json,
        dryRun: json,
      },
      { requiredKeys: [] },
    );
    const token = fc.constantFrom(OPERATOR, OPERATOR, PUBLISHER);
    const room = fc.constantFrom('', 'ops-1', 'lobby', 'elsewhere');
    await fc.assert(
      fc.asyncProperty(jsonText(fc.oneof(body, json)), token, room, async (text, authorized, to) => {
        // Without a room it is a broadcast. What is published to a room is any text.
        const path = to === '' ? '/admin/broadcast' : `/rooms/${to}`;
        await watch.hold(async () => {
          const request = new Request(`http://127.0.0.1${path}`, {
            method: 'POST',
            body: text,
            headers: { authorization: `Bearer ${authorized}`, host: '127.0.0.1' },
          });
          const response = await belfry.fetch(request);
          expect([200, 400, 403, 413]).toContain(response.status);
          if (authorized === OPERATOR) expect(response.status).not.toBe(403);
          const type = response.status === 200 ? 'application/json' : 'application/problem+json';
          expect(response.headers.get('content-type')).toContain(type);
          await response.json();
        });
        expect(logged).toEqual([]);
      }),
      runs('admin bodies'),
    );
  });
});
