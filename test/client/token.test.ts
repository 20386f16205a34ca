import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { type ConnectOptions, connect } from '../../src/client/index.ts';
import { embedded, TOKEN } from '../e2e/embedded.ts';
import { signed } from '../helpers/tokens.ts';

const SECRET = 'a-secret-of-thirty-two-bytes-or-more';
const PATIENCE_MS = 30_000;

/** A server whose room `ops` asks for a token, and a client that asks `token` for one. */
async function clientWith(options: Partial<ConnectOptions>) {
  const { url, belfry } = await embedded(
    { access: { secretEnv: 'SECRET', leewaySeconds: 0 }, rooms: [{ match: 'ops', subscribe: 'token' }] },
    { env: { BELFRY_ADMIN_TOKEN: TOKEN, SECRET } },
  );
  const client = connect(url, { rooms: ['ops'], WebSocket, ...options });
  onTestFinished(() => client.close());
  const states: string[] = [];
  client.on('state', ({ name }) => states.push(name));
  return { client, states, belfry };
}

/** A token for so many seconds. */
const tokenFor = (seconds: number) =>
  signed({ sub: 'ann', rooms: 'ops', exp: Math.ceil(Date.now() / 1000 + seconds) }, SECRET);

test('a token is renewed before it runs out, and the connection goes on', async () => {
  let asked = 0;
  const { client, states } = await clientWith({
    token: () => {
      asked++;
      return tokenFor(asked === 1 ? 1 : 600);
    },
  });
  await expect.poll(() => asked, { timeout: PATIENCE_MS }).toBe(2);
  // It was for two seconds at most.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect([asked, states, client.state.name]).toEqual([2, ['open'], 'open']);
});

test('over server-sent events a client comes back with a newer token', async () => {
  let asked = 0;
  const { client, states, belfry } = await clientWith({
    transport: 'sse',
    token: () => {
      asked++;
      return tokenFor(asked === 1 ? 1 : 600);
    },
  });
  const heard: unknown[] = [];
  client.on('message', ({ data }) => heard.push(data));
  await expect.poll(() => asked, { timeout: PATIENCE_MS }).toBe(2);
  await expect.poll(() => [...client.rooms], { timeout: PATIENCE_MS }).toEqual(['ops']);
  await belfry.publish({ target: { rooms: ['ops'] }, data: 'still here' });
  await expect.poll(() => heard).toEqual(['still here']);
  expect(states).toEqual(['open', 'waiting', 'connecting', 'open']);
});

test('a token that is refused, or cannot be had, is asked for again', async () => {
  let asked = 0;
  const endings: unknown[] = [];
  const { client } = await clientWith({
    token: () => {
      asked++;
      if (asked === 1) throw new Error('nobody is logged in');
      return asked === 2 ? 'no.good.token' : tokenFor(600);
    },
  });
  client.on('state', (state) => 'ending' in state && endings.push(state.ending));
  await expect.poll(() => client.rooms.size, { timeout: PATIENCE_MS }).toBe(1);
  expect(endings).toEqual([
    { how: 'failed', text: 'Error: nobody is logged in' },
    expect.objectContaining({ how: 'refused', status: 401 }),
  ]);
});
