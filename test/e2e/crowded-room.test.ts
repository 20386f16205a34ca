import { expect, onTestFinished, test } from 'vitest';
import { SocketGuest } from '../helpers/guest.ts';
import { startServer } from '../helpers/server.ts';

test('members that all publish much at once have it all, and the server goes on', async () => {
  const server = await startServer({ rooms: [{ match: 'lobby', publish: 'members' }] });
  onTestFinished(() => server.stop());
  const guests = Array.from({ length: 20 }, () => new SocketGuest(`${server.url}/rooms/lobby`));
  await Promise.all(guests.map((guest) => guest.event('hello')));
  const text = 'x'.repeat(15_000);
  const replies = await Promise.all(
    guests.flatMap((guest, index) =>
      [1, 2].map((line) => guest.ask({ action: 'publish', data: { text, index, line } })),
    ),
  );
  expect(replies.flatMap(({ error }) => error ?? [])).toEqual([]);
  for (const guest of guests) for (let count = 0; count < 40; count++) await guest.event('message');
  expect((await fetch(`${server.url}/livez`)).status).toBe(200);
  await Promise.all(guests.map((guest) => guest.leave()));
});
