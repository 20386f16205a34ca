import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ManualClock } from '../helpers/manual-clock.ts';
import { type Answer, answer, handshake, RawClient, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { keyPair, keySet, signed, unsigned } from '../helpers/tokens.ts';

// Every combination of origin, token, rule and representation, over real sockets. What is expected comes from
// the model below, which knows nothing of the code.

const ORIGINS = ['none', 'own', 'allowed', 'foreign', 'null'] as const;
const TOKENS = [
  ...['absent', 'wrong', 'expired', 'not yet valid', 'of a wrong audience', 'of a wrong issuer'],
  ...['with alg none', 'HS256 with the public key', 'of an unknown kid', 'of a revoked key'],
  ...['right', 'right, without the room'],
] as const;
const RULES = ['anyone', 'token', 'nobody'] as const;
const REPRESENTATIONS = [
  ...(['WebSocket with header', 'WebSocket with subprotocol', 'SSE with header'] as const),
  ...(['SSE with access_token', 'JSON', 'HTML page'] as const),
];

type Origin = (typeof ORIGINS)[number];
type Rule = (typeof RULES)[number];
type Representation = (typeof REPRESENTATIONS)[number];

interface Expected {
  readonly status: number;
  /** Of `WWW-Authenticate`. */
  readonly challenge: 'none' | 'plain' | 'invalid token';
  readonly isReadable: boolean;
}

/** What the contract says. */
function expected(origin: Origin, token: string, rule: Rule, representation: Representation): Expected {
  // By pages of that origin, with `fetch` or an EventSource.
  const isFetched = !representation.startsWith('WebSocket') && representation !== 'HTML page';
  const isReadable = isFetched && (origin === 'own' || origin === 'allowed');
  const answered = (status: number, challenge: Expected['challenge'] = 'none') => ({
    status,
    challenge,
    isReadable,
  });
  // The page holds no data; what it connects to is decided on then.
  if (representation === 'HTML page') return answered(200);
  if (origin === 'foreign' || origin === 'null') return answered(403);
  const isRight = token === 'right' || token === 'right, without the room';
  if (token !== 'absent' && !isRight) return answered(401, 'invalid token');
  if (rule === 'nobody') return answered(403);
  if (rule === 'token' && token === 'absent') return answered(401, 'plain');
  if (rule === 'token' && token === 'right, without the room') return answered(403);
  return answered(representation.startsWith('WebSocket') ? 101 : 200);
}

let server: TestServer;
let keys: Server;
const tokens = new Map<string, string>();

beforeAll(async () => {
  const [now, old, strange] = [keyPair('now', 'RS256'), keyPair('old', 'RS256'), keyPair('strange', 'RS256')];
  let body = keySet(now, old);
  keys = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve));
  const clock = new ManualClock('2026-11-20T18:00:00.000Z');
  server = await startServer(
    {
      server: { allowedOrigins: ['https://allowed.example'] },
      limits: { connectionsPerAddress: 0, connectsPerSecond: 0 },
      access: {
        jwksUrl: `http://127.0.0.1:${(keys.address() as AddressInfo).port}/`, // it listens on TCP
        issuer: 'https://login.example',
        audience: 'belfry',
      },
      rooms: RULES.map((subscribe) => ({ match: subscribe, subscribe })),
    },
    { clock },
  );
  const at = (seconds: number) => clock.now() / 1000 + seconds;
  const claims = {
    iss: 'https://login.example',
    aud: 'belfry',
    sub: 'ann',
    rooms: ['token', 'nobody'],
    exp: at(3600),
  };
  const pem = now.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const right = await signed(claims, now);
  tokens.set('right', right);
  tokens.set('right, without the room', await signed({ ...claims, rooms: 'other-*' }, now));
  // The last character may carry bits that are not part of the signature.
  tokens.set('wrong', `${right.slice(0, -8)}AAAA${right.slice(-4)}`);
  tokens.set('expired', await signed({ ...claims, exp: at(-10) }, now));
  tokens.set('not yet valid', await signed({ ...claims, nbf: at(2000) }, now));
  tokens.set('of a wrong audience', await signed({ ...claims, aud: 'roof' }, now));
  tokens.set('of a wrong issuer', await signed({ ...claims, iss: 'https://evil.example' }, now));
  tokens.set('with alg none', unsigned({ alg: 'none', kid: 'now' }, claims));
  tokens.set('HS256 with the public key', await signed(claims, pem, { kid: 'now' }));
  tokens.set('of an unknown kid', await signed(claims, strange));
  tokens.set('of a revoked key', await signed(claims, old));
  // It was right until the key was removed from the set.
  expect((await ask('none', 'of a revoked key', 'token', 'JSON')).status).toBe(200);
  body = keySet(now);
  clock.advance(600_000);
  // Until the fetch that has just begun is over.
  while ((await ask('none', 'of a revoked key', 'token', 'JSON')).status === 200);
});

afterAll(async () => {
  await server.stop();
  keys.close();
});

async function ask(
  origin: Origin,
  token: string,
  rule: Rule,
  representation: Representation,
): Promise<Answer> {
  const host = `127.0.0.1:${server.port}`;
  const origins: Record<Origin, string | undefined> = {
    none: undefined,
    own: `http://${host}`,
    allowed: 'https://allowed.example',
    foreign: 'https://foreign.example',
    null: 'null',
  };
  const text = tokens.get(token);
  const bearer = text === undefined ? {} : { Authorization: `Bearer ${text}` };
  const query = text === undefined ? '' : `?access_token=${text}`;
  const room = `/rooms/${rule}`;
  const head = { Host: host, Origin: origins[origin] };
  const plain = (Accept: string, more: object, search = '') =>
    request(`${room}${search}`, { ...head, Connection: 'close', Accept, ...more });
  const subprotocol = `belfry${text === undefined ? '' : `, bearer.${text}`}`;
  const requests: Record<Representation, string> = {
    'WebSocket with header': handshake(room, { ...head, ...bearer }),
    'WebSocket with subprotocol': handshake(room, { ...head, 'Sec-WebSocket-Protocol': subprotocol }),
    'SSE with header': plain('text/event-stream', bearer),
    'SSE with access_token': plain('text/event-stream', {}, query),
    JSON: plain('application/json', bearer),
    'HTML page': plain('text/html', {}, query),
  };
  const client = new RawClient(server.port).say(requests[representation]);
  // A stream does not end by itself; the head is all that is looked at.
  const heard = await client.until('\r\n\r\n');
  client.reset();
  if (text !== undefined) expect(heard).not.toContain(text.slice(-20));
  return answer(heard);
}

describe.each(REPRESENTATIONS)('%s', (representation) => {
  it.each(RULES)('with the rule %s', async (rule) => {
    const wrong: unknown[] = [];
    for (const origin of ORIGINS) {
      for (const token of TOKENS) {
        const { status, headers } = await ask(origin, token, rule, representation);
        const challenge = headers.get('www-authenticate');
        const found: Expected = {
          status,
          challenge:
            challenge === null ? 'none' : challenge.includes('invalid_token') ? 'invalid token' : 'plain',
          isReadable: headers.has('access-control-allow-origin'),
        };
        const wanted = expected(origin, token, rule, representation);
        if (JSON.stringify(found) !== JSON.stringify(wanted)) wrong.push({ origin, token, found, wanted });
        if (status === 101) {
          const isOffered = representation === 'WebSocket with subprotocol';
          expect(headers.get('sec-websocket-protocol')).toBe(isOffered ? 'belfry' : null);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

it('leaves no connection behind', async () => {
  await expect.poll(async () => (await server.admin('/connections')).items).toEqual([]);
});
