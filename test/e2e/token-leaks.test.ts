import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { clientFrame, handshake, RawClient, request } from '../helpers/raw.ts';
import { signed } from '../helpers/tokens.ts';
import { fileWith, serve } from './process.ts';

const SECRET = randomBytes(32).toString('base64url');
const ADMIN = 'an-operators-token';

it('repeats a token nowhere: not in answers, errors, logs, metrics or the admin API', async () => {
  const document = {
    server: { drainSeconds: 0, allowedOrigins: ['https://a.example'] },
    access: { secretEnv: 'WALL_SECRET', issuer: 'me' },
    rooms: [{ match: 'ops-*', subscribe: 'token', publish: 'token' }],
    schedules: [{ name: 'clock', every: '1s', feed: { type: 'time' } }],
  };
  const config = fileWith(document);
  const env = { WALL_SECRET: SECRET, BELFRY_ADMIN_TOKEN: ADMIN };
  const server = await serve({ args: ['--config', config], env });
  const port = Number(new URL(server.url).port);
  const exp = Math.floor(Date.now() / 1000) + 600;
  const claims = { iss: 'me', sub: 'ann', rooms: 'ops-*', publish: 'ops-*', exp };
  const right = await signed(claims, SECRET);
  const tokens = [
    right,
    await signed({ ...claims, exp: exp - 1200 }, SECRET),
    await signed({ ...claims, iss: 'you' }, SECRET),
    await signed({ ...claims, rooms: [7] }, SECRET),
    await signed(claims, `${SECRET}!`),
    `${right}.${right}`,
    `${right}!`,
  ];
  const heard: string[] = [];
  const asked: Promise<void>[] = [];
  const exchange = async (text: string | Buffer, until?: string) => {
    const client = new RawClient(port).say(text);
    heard.push(until === undefined ? await client.all() : await client.until(until));
    client.reset();
  };
  const say = (text: string | Buffer, until?: string) => void asked.push(exchange(text, until));
  const close = { Connection: 'close' };
  for (const token of tokens) {
    const authorization = { Authorization: `Bearer ${token}` };
    for (const room of ['ops-1', 'lobby', 'a b', `${token}`, '%zz', 'x?limit=eyJ', `x?limit=${token}`]) {
      const path = `/rooms/${room}`;
      const query = `${path}${path.includes('?') ? '&' : '?'}access_token=${token}`;
      for (const accept of ['application/json', 'text/html', 'image/png']) {
        say(request(query, { ...close, Accept: accept }));
        say(request(path, { ...close, ...authorization, Accept: accept }));
      }
      say(request(query, { ...close, ...authorization }));
      say(request(query, { ...close, Accept: 'text/event-stream' }), '\r\n\r\n');
      say(handshake(query), '\r\n\r\n');
      say(handshake(path, { 'Sec-WebSocket-Protocol': `belfry, bearer.${token}` }), '\r\n\r\n');
      say(request(path, { ...close, ...authorization }, 'POST'));
      say(request(query, close, 'DELETE'));
    }
    for (const target of [
      `/nowhere?access_token=${token}`,
      `//[?access_token=${token}`,
      `/${token}`,
      token,
    ]) {
      say(request(target, { ...close, ...authorization }));
      say(handshake(target, authorization), '\r\n\r\n');
    }
    say(request(`/admin/rooms?access_token=${token}`, close));
    say(request(`/admin/rooms?access_token=${token}`, { ...close, Authorization: `Bearer ${ADMIN}` }));
    say(request('/admin/rooms', { ...close, ...authorization }));
    say(request('/metrics', { ...close, ...authorization }));
    say(handshake('/rooms/ops-1', { ...authorization, Origin: 'https://evil.example' }), '\r\n\r\n');
    say(handshake('/rooms/ops-1', { ...authorization, 'Sec-WebSocket-Key': token }), '\r\n\r\n');
    say(
      handshake('/rooms/ops-1', { 'Sec-WebSocket-Protocol': `bearer.${token}, bearer.${token}` }),
      '\r\n\r\n',
    );
    await Promise.all(asked);
  }

  // A client that stays, and sends tokens in each way that is wrong.
  const guest = new SocketGuest(`${server.url}/rooms/ops-1`, { protocols: ['belfry', `bearer.${right}`] });
  await guest.event('hello');
  for (const token of tokens) {
    heard.push(JSON.stringify(await guest.ask({ action: 'token', data: { token } })));
    heard.push(JSON.stringify(await guest.ask({ action: 'token', data: token })));
    heard.push(JSON.stringify(await guest.ask({ action: 'token', data: { token: [token] } })));
    heard.push(JSON.stringify(await guest.ask({ action: 'subscribe', room: token })));
    for (const line of [`{"action":"token","data":{"token":"${token}"`, `"${token}"`, token]) {
      guest.say(line);
      heard.push(JSON.stringify(await guest.next(({ error }) => error !== undefined)));
    }
  }
  await guest.ask({ action: 'publish', data: 'hi' });
  heard.push(JSON.stringify(await guest.event('message')));

  const admin = async (path: string, method = 'GET') => {
    const answer = await fetch(server.url + path, { method, headers: { authorization: `Bearer ${ADMIN}` } });
    heard.push(JSON.stringify([...answer.headers]) + (await answer.text()));
  };
  for (const path of [
    'rooms',
    'connections',
    'connections?user=ann',
    'stats',
    'config',
    'schedules',
    'broadcasts',
  ])
    await admin(`/admin/${path}`);
  await admin('/metrics');
  await admin('/openapi.yaml');
  // A reload that fails, and one that does not.
  writeFileSync(config, JSON.stringify({ ...document, access: { secretEnv: SECRET } }));
  await admin('/admin/reload', 'POST');
  writeFileSync(config, JSON.stringify({ ...document, access: { ...document.access, leewaySeconds: 7 } }));
  await admin('/admin/reload', 'POST');
  await admin('/admin/config');
  guest.socket.terminate();
  say(Buffer.concat([Buffer.from(handshake()), clientFrame(right)]), 'error');
  await Promise.all(asked);
  process.kill(server.pid, 'SIGTERM');
  await server.ended;

  const all = [...heard, ...server.stdout.all, ...server.stderr.all].join('\n');
  expect(all).toContain('"user":"ann"');
  expect(heard.length).toBeGreaterThan(700);
  // Each part of each token by itself; of long ones a piece in the middle would be found too.
  const parts = new Set([SECRET, ...tokens.flatMap((token) => token.replace('!', '').split('.'))]);
  for (const part of parts) {
    for (let at = 0; at + 16 <= part.length; at += 16) {
      const piece = part.slice(at, at + 16);
      const found = all.indexOf(piece);
      expect(found === -1 ? '' : all.slice(Math.max(found - 200, 0), found + 100), piece).toBe('');
    }
  }
}, 60_000);
