import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { SERVER_EVENTS } from '../../src/protocol/event.ts';
import { Collected } from '../e2e/collected.ts';
import { embedded } from '../e2e/embedded.ts';
import { type Received, visit } from '../e2e/listeners.ts';
import { signed } from '../helpers/tokens.ts';
import { BLOCKS, blocks, named, shapeOf, TOP, table } from './documents.ts';

const PROTOCOL = 'docs/protocol.md';
const ADDRESS = '127.0.0.1:8080';
const SECRET = 'a-secret-of-thirty-two-bytes-or-more';

/** Lines of a client, and the replies to them. */
const EXCHANGES: readonly (readonly [sent: Received & { readonly action: string }, reply: Received])[] =
  pairs((blocks('text exchange')[0] ?? '').trim().split('\n'));

// docs/blocks.test.ts compares the examples with what a server sends, protocol/close-reason.test.ts the close codes.
test('docs/protocol.md has an example of each event of the server, a tick and messages', () => {
  const shown = BLOCKS.filter(({ path }) => path === PROTOCOL).map(({ kind }) => kind);
  for (const kind of [...SERVER_EVENTS, 'tick', 'message', 'retained'])
    expect(shown).toContain(`json ${kind}`);
});

test('docs/protocol.md has each field of an event', () => {
  const openapi = parse(readFileSync(join(TOP, 'openapi.yaml'), 'utf8'));
  const fields = [...Object.keys(openapi.components.schemas.Event.properties), 'conflated'];
  expect(table(PROTOCOL, 'field').flatMap(([field = '']) => named(field))).toEqual(fields);
});

test('docs/protocol.md has each action, with a line that gets the reply that it shows', async () => {
  const { url } = await embedded(
    {
      access: { secretEnv: 'WALL_SECRET', issuer: 'wall' },
      rooms: [{ match: '*', publish: 'members' }],
    },
    { env: { BELFRY_ADMIN_TOKEN: 'test', WALL_SECRET: SECRET } },
  );
  const claims = { iss: 'wall', sub: 'ann', rooms: '*', exp: Math.floor(Date.now() / 1000) + 600 };
  const token = await signed(claims, SECRET);
  const member = await visit(`${url}/rooms/lobby`, { headers: { authorization: `Bearer ${token}` } });

  member.send({ action: 'unknown', ref: 'names' });
  const { error } = await member.received.find(({ ref }) => ref === 'names');
  const told = table(PROTOCOL, 'action').flatMap(([action = '']) => named(action));
  expect(error?.detail).toContain(`"unknown" is not one of ${told.join(', ')};`);
  expect(EXCHANGES.map(([{ action }]) => action)).toEqual(told);

  for (const [sent, shown] of EXCHANGES) {
    member.send(sent.action === 'token' ? { ...sent, data: { token } } : sent);
    const reply = await member.received.find(({ ref }) => ref === sent.ref);
    expect(shapeOf(reply)).toEqual(shapeOf(shown));
    expect([reply.reply, reply.error]).toEqual([sent.action, undefined]);
  }
  expect(await member.over).toBe(1000);
});

test('docs/protocol.md has a client that comes back and resumes, and stays away when told to', async () => {
  const [code = ''] = blocks('js client');
  expect(code.trim().split('\n')).toHaveLength(15);
  const { url, admin } = await embedded({});
  const heard = new Collected<Received>();
  const codes = new Collected<number>();
  function open(address: string) {
    const socket = new WebSocket(address);
    socket.on('close', (code) => codes.push(code));
    onTestFinished(() => socket.terminate());
    return socket;
  }
  const waits: number[] = [];
  const parts = {
    WebSocket: open,
    console: { log: (received: Received) => heard.push(received) },
    setTimeout(connect: () => void, delayMs: number) {
      waits.push(delayMs);
      setTimeout(connect, delayMs);
    },
  };
  new Function(...Object.keys(parts), code.replace(ADDRESS, new URL(url).host))(...Object.values(parts));
  const said = (text: string) => admin('POST', '/broadcast', { rooms: 'lobby', data: text });
  const isHello = ({ event }: Received) => event === 'hello';
  await heard.find(isHello);
  await said('first');
  await heard.find(({ data }) => data === 'first');
  await admin('DELETE', '/rooms/lobby?lock=0s&reconnect=true');
  await codes.find((code) => code === 4001);
  await said('meanwhile');
  expect(await heard.find(({ data }) => data === 'meanwhile')).toMatchObject({ replay: true });
  expect(heard.all.filter(({ data }) => data === 'first')).toHaveLength(1);
  expect(heard.all.filter(isHello)[1]?.data).toMatchObject({ resumed: { lobby: true } });
  await admin('DELETE', '/rooms/lobby?lock=0s&reconnect=false');
  await codes.several(2, (code) => code === 4001);
  expect(heard.all.at(-1)?.data).toMatchObject({ reconnect: false, ends: 'connection' });
  expect(waits).toHaveLength(1);
});

/** Two lines after each other that belong together. */
function pairs(lines: readonly string[]) {
  return Array.from({ length: lines.length / 2 }, (_, index) => {
    const [sent = '', reply = ''] = lines.slice(2 * index);
    return [JSON.parse(sent), JSON.parse(reply)] as const;
  });
}
