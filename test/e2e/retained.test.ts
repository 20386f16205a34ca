import { expect, test } from 'vitest';
import { embedded } from './embedded.ts';
import { visit } from './listeners.ts';

test('a retained message is sent, listed, replaced and withdrawn', async () => {
  const { admin, url, belfry } = await embedded({ rooms: [{ match: '*', history: 0 }] });
  const heard: unknown[] = [];
  belfry.on('message', ({ event, key, until }) => heard.push([event, key, until !== undefined]));
  const member = await visit(`${url}/rooms/lobby`);
  await admin('POST', '/broadcast', { rooms: '*', data: 'soup', key: 'lunch' });
  await belfry.publish({ target: { rooms: ['lobby'] }, data: 'pasta', key: 'lunch', ttl: '1h' });
  const { items } = (await admin('GET', '/rooms/lobby/retained')).answer;
  expect(items).toMatchObject([{ room: 'lobby', data: 'pasta', key: 'lunch', until: expect.any(String) }]);
  expect((await admin('GET', '/rooms/attic/retained')).answer.items).toMatchObject([{ data: 'soup' }]);

  const late = await visit(`${url}/rooms/lobby`);
  expect(await late.received.find(({ replay }) => replay === true)).toMatchObject({ data: 'pasta' });

  const withdrawn = await admin('DELETE', '/rooms/lobby/retained/lunch');
  expect(withdrawn).toMatchObject({ status: 200, answer: { rooms: ['lobby'], connections: 2 } });
  const told = await member.received.find(({ event }) => event === 'withdrawn');
  expect(told).toMatchObject({ room: 'lobby', data: { key: 'lunch' }, id: withdrawn.answer.id });
  expect((await admin('DELETE', '/rooms/lobby/retained/lunch')).status).toBe(404);
  expect((await admin('DELETE', '/retained/lunch')).status).toBe(200);
  expect((await admin('DELETE', '/retained/lunch')).status).toBe(404);
  expect(heard.slice(0, 2)).toEqual([
    ['message', 'lunch', false],
    ['message', 'lunch', true],
  ]);
});

test('a program is told what is wrong with the ttl that it names', async () => {
  const { belfry } = await embedded({});
  const ttlOf = (ttl: string) => belfry.publish({ data: 1, key: 'a', ttl });
  await expect(ttlOf('1')).rejects.toThrow('"1" is not a duration');
  await expect(ttlOf('0s')).rejects.toThrow('and more than 0');
  // @ts-expect-error: a program may be written without types.
  await expect(ttlOf(1)).rejects.toMatchObject({ status: 400 });
  await expect(belfry.publish({ data: 1, ttl: '1s' })).rejects.toThrow('only a retained message has a ttl');
});
