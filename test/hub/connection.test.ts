import { expect, test } from 'vitest';
import { stage } from './fixture.ts';

test('connections that share their only room keep rooms of their own', async () => {
  const { hub, visit } = await stage();
  const [one, two] = [(await visit('a')).connection, (await visit('a')).connection];
  const rooms = () => [one, two].map((connection) => [...connection.rooms].sort().join(' '));
  await hub.subscribe(one, 'b', undefined);
  expect(rooms()).toEqual(['a b', 'a']);
  hub.leave(one, 'a');
  await hub.subscribe(two, 'b', undefined);
  expect(rooms()).toEqual(['b', 'a b']);
  await hub.subscribe(one, 'c', undefined);
  await hub.subscribe(one, 'd', undefined);
  hub.leave(two, 'b');
  expect(rooms()).toEqual(['b c d', 'a']);
  hub.disconnect(one);
  hub.leave(two, 'a');
  expect(rooms()).toEqual(['', '']);
  expect((await visit('a')).connection.rooms).toEqual(new Set(['a']));
});
