import { handshake, request } from '../helpers/raw.ts';
import { frame } from '../hostile/ask.ts';
import type { Random } from './cases.ts';
import { type Conversation, Script } from './script.ts';
import { talk } from './talk.ts';

/** Rooms that calls beside close, lock and open; in the calm ones nothing but what clients do happens. */
const ROOMS = 20;
const FLIGHT = 8;
/** A client that does not read asks for as much as this. */
const LONG_FLIGHT = 300;

type Headers = Record<string, string | undefined>;

/** A request, and whether the server keeps the connection after it has answered. */
interface Asked {
  readonly text: string;
  readonly stays: boolean;
}

/** The conversation of a case: the same for the same numbers, whatever ran before. */
export function conversation(random: Random, token: string): Conversation {
  const script = new Script(random, random.below(4) === 0);
  if (random.below(15) === 0) return silent(script, random, token);
  for (let flights = random.below(4); flights > 0 && !script.isOver; flights--) fly(script, random, token);
  if (random.below(8) === 0) script.beside(beside(random, token));
  if (!script.isOver) {
    const ending = random.below(10);
    if (ending < 5) upgrade(script, random, token);
    else if (ending < 8) upgradeToOther(script, random);
  }
  return leave(script, random);
}

/** Several requests in one write; sometimes their answers are not waited for. */
function fly(script: Script, random: Random, token: string): void {
  const asked: Asked[] = [];
  do asked.push(anyRequest(random, token));
  while (asked.at(-1)?.stays && random.below(FLIGHT) > 1);
  script.expectAnswers(asked.length);
  const isLast = asked.at(-1)?.stays === false;
  if (isLast && random.below(3) === 0) {
    // Never answered; and bytes that arrive when the server has closed take its last answer away.
    asked.push(anyRequest(random, token));
    script.unsound();
  }
  script.say(Buffer.from(asked.map(({ text }) => text).join(''), 'latin1'));
  if (isLast) {
    script.hear();
    script.over();
  } else if (random.below(3) > 0) {
    script.hear();
  }
}

function anyRequest(random: Random, token: string): Asked {
  if (random.below(7) === 0) return endingRequest(random, token);
  if (random.below(100) === 0) return { text: request('/openapi.yaml'), stays: true };
  return { text: random.below(3) === 0 ? adminRequest(random, token) : openRequest(random), stays: true };
}

const calm = (random: Random) => `calm-${random.below(ROOMS)}`;
const wild = (random: Random) => `wild-${random.below(ROOMS)}`;
const some = (random: Random) => (random.below(2) === 0 ? calm(random) : wild(random));

function openRequest(random: Random): string {
  const room = some(random);
  return random.of([
    () => request('/livez'),
    () => request('/readyz'),
    () => request(`/rooms/${room}?limit=${1 + random.below(20)}`),
    () => request(`/rooms/${room}`, { Accept: 'text/html', Origin: 'null' }),
    () =>
      request(`/rooms/${room}`, { Accept: random.of(['application/json;q=0', 'image/png', ',;q', '*/*']) }),
    () => request(`/rooms/${room}?since=${random.of(['a-1', '-', '%ff', '9'.repeat(50)])}`),
    () => request(`/rooms/${room}`, { Accept: 'text/event-stream' }, 'HEAD'),
    () => request(`/rooms/${room}`, { Origin: 'https://elsewhere.example' }, 'OPTIONS'),
    () => request('/rooms/%2e%2e/a%20b'),
    () => request('/time?t0=1'),
    () => request('/time?t0=x'),
    () => request('/', {}, 'HEAD'),
    // So long that sixteen of them, as they come, stay below the 16 KiB of heads that may wait.
    () => request('/nothing/here', { 'X-Long': 'x'.repeat(random.below(2000)) }),
    () => request('/livez', { Expect: '100-continue' }),
  ])();
}

function adminRequest(random: Random, token: string): string {
  const headers = { Authorization: `Bearer ${token}` };
  const get = (path: string) => request(path, headers);
  return random.of([
    () => get(`/admin/rooms?limit=${1 + random.below(10)}`),
    () => get(`/admin/rooms/${calm(random)}`),
    () => get(`/admin/connections?limit=3&room=${some(random)}`),
    () => get('/admin/schedules'),
    () => get('/admin/stats'),
    () => get('/admin/config'),
    () => get('/metrics'),
    () => get('/admin/rooms?limit=0'),
    () => broadcast(random, token),
    () => broadcast(random, token),
  ])();
}

/** A body with its length or in chunks. */
function broadcast(random: Random, token: string, headers: Headers = {}): string {
  const data = random.of<unknown>([1, 'lunch', { text: 'lunch' }, 'x'.repeat(random.below(3000))]);
  const rooms = random.of<unknown>([calm(random), ['calm-*'], ['wild-1*', some(random)], '*-*-*-*']);
  const body = random.of<() => string>([
    () => JSON.stringify({ rooms, data, event: 'note' }),
    () => JSON.stringify({ rooms, data, dryRun: true }),
    () => JSON.stringify({ devices: ['d'], data, except: ['nobody'] }),
    () => '{"data":',
  ])();
  const half = Math.floor(body.length / 2);
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const inChunks = random.below(2) === 0;
  const length = inChunks ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(body.length) };
  const all = { Authorization: `Bearer ${token}`, ...length, ...headers };
  const trailer = random.below(4) === 0 ? 'X-Trailer: 1\r\n' : '';
  const sent = inChunks ? `${chunk(body.slice(0, half))}${chunk(body.slice(half))}0\r\n${trailer}\r\n` : body;
  return request('/admin/broadcast', all, 'POST') + sent;
}

/** A request after which the server hangs up, or may do so because it has not read the body. */
function endingRequest(random: Random, token: string): Asked {
  const room = some(random);
  const text = random.of<() => string>([
    () => request('/livez', { Connection: 'close' }),
    () => request(`/rooms/${room}`, { Accept: 'text/event-stream' }),
    () => request(`/rooms?room=${room}&room=${calm(random)}`, { Accept: 'text/event-stream' }),
    () => `${request(`/rooms/${room}`, { 'Content-Length': '5' }, 'POST')}hello`,
    () => `${request('/livez', { 'Content-Length': '5' })}hello`,
    () => broadcast(random, 'wrong'),
    () => broadcast(random, token, { 'Content-Type': 'multipart/form-data' }),
    () => request(`/rooms/${room}`, {}, random.of(['DELETE', 'TRACE', 'PUT', 'PATCH'])),
    () => 'GET /livez HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n',
  ])();
  return { text, stays: false };
}

/** Upgrades to what is no WebSocket: alone, behind answers that are not there yet, with a body, with bytes behind. */
function upgradeToOther(script: Script, random: Random): void {
  const to = random.of([
    'h2c',
    'h2c, smoke',
    'TLS/1.0',
    'websocket, h2c',
    'h2c, websocket',
    'web socket',
    '"',
  ]);
  const target =
    random.below(30) === 0 ? '/openapi.yaml' : random.of(['/livez', `/rooms/${calm(random)}`, '/nothing']);
  const headers: Headers = { Connection: 'Upgrade, HTTP2-Settings', Upgrade: to, 'HTTP2-Settings': '' };
  const bodyBytes = random.below(4) === 0 ? 1 + random.below(9) : 0;
  const body = 'b'.repeat(bodyBytes);
  const behind = random.below(3) === 0 ? request('/livez') : '';
  const before =
    random.below(3) === 0 ? Array.from({ length: 1 + random.below(3) }, () => openRequest(random)) : [];
  const text = request(target, bodyBytes > 0 ? { ...headers, 'Content-Length': `${bodyBytes}` } : headers);
  // Bytes that are not read may destroy the answers when the connection ends.
  if (bodyBytes > 0 || behind !== '') script.unsound();
  script.expectAnswers(before.length + 1);
  script.say(Buffer.from(before.join('') + text + body + behind, 'latin1'));
  script.hear();
  script.over();
}

/** A WebSocket: sound or nearly so, with what is said right behind the handshake or after its answer. */
function upgrade(script: Script, random: Random, token: string): void {
  const isOdd = random.below(6) === 0;
  const isCalm = random.below(4) > 0;
  const rooms = Array.from({ length: 1 + random.below(random.below(10) === 0 ? 100 : 2) }, (_, index) =>
    isCalm ? `calm-${(random.below(ROOMS) + index) % ROOMS}` : wild(random),
  );
  const target =
    rooms.length > 1
      ? `/rooms?${rooms.map((room) => `room=${room}`).join('&')}`
      : `/rooms/${rooms[0]}?device=d`;
  const headers = isOdd ? oddHeaders(random) : soundHeaders(random);
  const text = handshake(target, headers, isOdd && random.below(4) === 0 ? 'POST' : 'GET');
  const isBehind = script.isAhead;
  if (isOdd || !isCalm) script.unsound();
  script.expectAnswers(1);
  if (isBehind && !script.isOver) {
    // Refused, or accepted where the answers were finished: only what is sent next may be lost.
    script.say(Buffer.from(text, 'latin1'));
    script.hear();
    script.over();
    return;
  }
  const isImpatient = random.below(3) === 0;
  const first = isImpatient ? talk(random, script, rooms) : [];
  script.say(Buffer.concat([Buffer.from(text, 'latin1'), ...first]));
  if (!isImpatient || random.below(2) === 0) script.hear();
  for (let rounds = random.below(4); rounds > 0; rounds--) {
    if (random.below(8) === 0) script.beside(beside(random, token));
    for (const bytes of together(talk(random, script, rooms), random)) script.say(bytes);
    if (random.below(2) === 0) script.hear();
  }
}

/** Frames in one write or in several. */
function together(frames: readonly Buffer[], random: Random): readonly Buffer[] {
  return random.below(2) === 0 ? frames : [Buffer.concat(frames)];
}

function soundHeaders(random: Random): Headers {
  return random.of<Headers>([
    {},
    { Upgrade: 'WebSocket', Connection: 'keep-alive, upgrade' },
    { Upgrade: 'WEBSOCKET', 'Sec-WebSocket-Protocol': 'belfry, bearer.token' },
    { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
    { 'Last-Event-ID': 'a-1' },
  ]);
}

function oddHeaders(random: Random): Headers {
  return random.of<Headers>([
    { 'Sec-WebSocket-Key': undefined },
    { 'Sec-WebSocket-Key': 'YQ==' },
    { 'Sec-WebSocket-Version': '8' },
    { 'Sec-WebSocket-Protocol': 'a, a' },
    { Upgrade: 'websocket, h2c' },
    { Upgrade: 'h2c\r\nUpgrade: websocket' },
    { Connection: 'keep-alive' },
    { Origin: 'https://elsewhere.example' },
    { Host: 'elsewhere.example' },
    { 'Content-Length': '10' },
    { 'Transfer-Encoding': 'chunked' },
    { Expect: '100-continue' },
  ]);
}

/** A client that asks for much and does not read, and perhaps does so later. */
function silent(script: Script, random: Random, token: string): Conversation {
  script.reads(false);
  const what = random.below(3);
  const room = calm(random);
  if (what === 0) {
    const count = 1 + random.below(LONG_FLIGHT);
    script.expectAnswers(count);
    script.say(Buffer.from(request(`/rooms/${room}?limit=1000`).repeat(count)));
  } else if (what === 1) {
    script.unsound();
    script.say(Buffer.from(request(`/rooms/${room}`, { Accept: 'text/event-stream' })));
  } else {
    script.expectAnswers(1);
    script.say(Buffer.from(handshake(`/rooms/${room}`)));
    const many = Array.from({ length: 1 + random.below(40) }, (_, ref) =>
      frame({ payload: JSON.stringify({ action: 'publish', ref, self: true, data: 'x'.repeat(3000) }) }),
    );
    script.expectReplies(many.length);
    script.say(Buffer.concat(many));
  }
  script.pause();
  if (random.below(2) === 0) script.beside(beside(random, token));
  if (random.below(3) === 0) return script.leave('reset');
  script.reads(true);
  script.hear();
  return script.leave('end');
}

/** What an operator, or someone who is none, does meanwhile. */
function beside(random: Random, token: string): string {
  const headers = { Authorization: `Bearer ${token}`, Connection: 'close' };
  const room = wild(random);
  const act = (method: string, path: string) => request(path, headers, method);
  return random.of([
    () => broadcast(random, token, { Connection: 'close' }),
    () => act('DELETE', `/admin/rooms/${room}?lock=${random.of(['0s', '100ms', '1s'])}&reason=fuzz`),
    () => act('DELETE', `/admin/rooms/${room}?lock=100ms&reconnect=false`),
    () => act('PUT', `/admin/rooms/${room}/lock?for=100ms`),
    () => act('DELETE', `/admin/rooms/${room}/lock`),
    () => act('GET', `/admin/rooms?match=${'*a'.repeat(random.below(20))}*`),
    () => act('GET', '/admin/connections?limit=1000'),
    () => act('DELETE', '/admin/connections/nobody'),
    () => act('POST', `/admin/schedules/other/${random.of(['run', 'pause', 'resume'])}`),
    () => act('POST', '/admin/reload'),
    () => request('/admin/rooms', { ...headers, Authorization: 'Bearer wrong' }),
    () => request('/admin/stats', { ...headers, Authorization: random.of(['', 'Basic YTpi', 'Bearer']) }),
  ])();
}

function leave(script: Script, random: Random): Conversation {
  const how = random.below(6);
  if (how === 0) return script.leave('reset');
  if (how === 1) script.pause();
  if (how > 1) script.hear();
  return script.leave('end');
}
