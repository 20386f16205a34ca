import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { Collected } from './collected.ts';
import { embedded } from './embedded.ts';
import { closingOf, isTick, type Received, stream, visit } from './listeners.ts';

const open = { rooms: [{ match: '*', publish: 'members', history: 100 }] };
const quick = { ...open, schedules: [{ name: 'clock', every: '100ms', feed: { type: 'time' } }] };

const isMessage = ({ event }: Received) => event === 'message';

describe('faults that such servers had', () => {
  test('an empty room does not end the round for the rooms after it', async () => {
    const { url, admin } = await embedded(quick);
    const first = await visit(`${url}/rooms/a`);
    const others = [await visit(`${url}/rooms/b`), await stream(`${url}/rooms/c`)];
    first.leave();
    await first.over;
    const { answer } = await admin('GET', '/rooms');
    expect(answer.items).toHaveLength(3);
    for (const { received } of others) {
      const seen = received.all.length;
      await received.filled(() => received.all.slice(seen).filter(isTick)[2], 5000);
    }
    await admin('POST', '/broadcast', { data: 'all' });
    for (const { received } of others) expect((await received.find(isMessage)).data).toBe('all');
  });

  test('a client that is dead, or no longer reads, does not end the broadcast for the others', async () => {
    const { url, admin } = await embedded(open);
    const room = `${url}/rooms/lobby`;
    const before = await visit(room);
    const dead = await visit(room);
    const stuck = await visit(`${room}?device=stuck`);
    const reset = await stream(room);
    const after = await visit(room);
    stuck.socket.pause();
    const isSlow = async () =>
      (await admin('GET', '/connections?slow=true&device=stuck')).answer.items?.length === 1;
    // More than the system keeps for a connection, so that the rest waits in the server.
    for (let sent = 0; !(await isSlow()); sent++) {
      expect(sent).toBeLessThan(1000);
      await admin('POST', '/broadcast', { event: 'filling', data: 'x'.repeat(60_000) });
    }
    for (let number = 0; number < 30; number++) {
      if (number === 10) {
        dead.socket.terminate();
        reset.leave();
      }
      await admin('POST', '/broadcast', { data: number });
    }
    for (const { received } of [before, after]) {
      const heard = await received.several(30, isMessage);
      expect(heard.map(({ data }) => data)).toEqual(Array.from({ length: 30 }, (_, number) => number));
    }
    expect(await isSlow()).toBe(true);
  });

  test('a listener in the program that throws does not end it either', async () => {
    const { url, admin, belfry } = await embedded(open);
    belfry.on('message', () => {
      throw new Error('on purpose');
    });
    const visitor = await visit(`${url}/rooms/lobby`);
    await admin('POST', '/broadcast', { data: 1 });
    await admin('POST', '/broadcast', { data: 2 });
    const heard = await visitor.received.several(2, isMessage);
    expect(heard.map(({ data }) => data)).toEqual([1, 2]);
  });

  test('the second connection of a device stays when the first one leaves', async () => {
    const { url, admin } = await embedded(open);
    const first = await visit(`${url}/rooms/lobby?device=wall-1`);
    const second = await visit(`${url}/rooms/lobby?device=wall-1`);
    const third = await stream(`${url}/rooms/ops?device=wall-1`);
    first.leave();
    await first.over;
    const { answer } = await admin('POST', '/broadcast', { devices: 'wall-1', data: 'still here?' });
    expect(answer).toMatchObject({ connections: 2, unreached: [] });
    for (const { received } of [second, third]) {
      expect((await received.find(isMessage)).data).toBe('still here?');
    }
    expect((await admin('GET', '/connections?device=wall-1')).answer.items).toHaveLength(2);
  });

  test('devices without a name are not one device', async () => {
    const { url, admin } = await embedded(open);
    const visitors = [
      await visit(`${url}/rooms/lobby`),
      await visit(`${url}/rooms/lobby?device=`),
      await visit(`${url}/rooms/lobby?device=`),
    ];
    const listed = (await admin('GET', '/connections')).answer.items ?? [];
    expect(new Set(listed.map(({ id }) => id)).size).toBe(3);
    expect(listed.map(({ device }) => device)).toEqual([null, null, null]);
    expect((await admin('POST', '/broadcast', { devices: '', data: 1 })).status).toBe(400);
    visitors[0]?.leave();
    await visitors[0]?.over;
    const { answer } = await admin('POST', '/broadcast', { rooms: 'lobby', data: 2 });
    expect(answer.connections).toBe(2);
    for (const { received } of visitors.slice(1)) expect((await received.find(isMessage)).data).toBe(2);
  });

  test('expiry closes the socket of a silent client, and of no client that answers', async () => {
    const idleMs = 400;
    const { url, admin } = await embedded({
      ...open,
      server: { idleSeconds: idleMs / 1000, heartbeatSeconds: 0.1 },
    });
    const room = `${url}/rooms/lobby`;
    const silent = await visit(room, { autoPong: false });
    const talking = await visit(room, { autoPong: false });
    talking.socket.on('ping', () => talking.send({ action: 'ping' }));
    const answering = await visit(room);
    const listening = await stream(room);
    const since = Date.now();

    expect(await closingOf(silent)).toMatchObject({ code: 4201, reconnect: true });
    expect(await silent.over).toBe(4201);
    expect((await admin('GET', '/connections')).answer.items).toHaveLength(3);

    // Three times as long as the silent one was given.
    for (const { received } of [talking, answering, listening]) {
      await received.find(({ time = '' }) => Date.parse(time) - since > 3 * idleMs);
    }
    const { answer } = await admin('POST', '/broadcast', { data: 'all' });
    expect(answer.connections).toBe(3);
    for (const { received } of [talking, answering, listening]) await received.find(isMessage);
  });

  test('a join during a close comes before it and is told, or after it and stays', async () => {
    const { url, admin } = await embedded(open);
    await visit(`${url}/rooms/ops`);
    let stayed = 0;
    let told = 0;
    for (let round = 0; round < 20; round++) {
      await visit(`${url}/rooms/lobby`);
      const joining = Array.from({ length: 6 }, () => joiner(`${url}/rooms/lobby`));
      await new Promise((resolve) => joining[round % 6]?.socket.once('upgrade', resolve));
      const closed = await admin('DELETE', '/rooms/lobby?lock=0s');
      expect(closed.status).toBe(200);
      await Promise.all(joining.map(({ joined }) => joined));
      await admin('POST', '/broadcast', { rooms: 'lobby', data: round });
      for (const { received, over } of joining) {
        const end = await received.find(({ event, data }) => event === 'closing' || data === round);
        if (end.event === 'closing') {
          told += 1;
          expect(end.data).toMatchObject({ code: 4001, reconnect: true });
          expect(await over).toBe(4001);
        } else {
          stayed += 1;
        }
      }
      for (const { socket } of joining) socket.terminate();
    }
    expect(told).toBeGreaterThan(0);
    expect(stayed + told).toBe(120);
  });

  test('messages of one sender arrive in the order in which it sent them', async () => {
    const { url } = await embedded(open);
    const sender = await visit(`${url}/rooms/lobby`);
    const listeners = [sender, await visit(`${url}/rooms/lobby`), await stream(`${url}/rooms/lobby`)];
    const numbers = Array.from({ length: 90 }, (_, number) => number);
    for (const number of numbers) sender.send({ action: 'publish', ref: number, data: number });
    for (const { received } of listeners) {
      const heard = await received.several(numbers.length, isMessage);
      expect(heard.map(({ data }) => data)).toEqual(numbers);
    }
    const replies = await sender.received.several(numbers.length, ({ reply }) => reply === 'publish');
    expect(replies.map(({ ref }) => ref)).toEqual(numbers);
  });
});

/** A client that connects. `joined`: it is a member, or was refused. */
function joiner(url: string) {
  const socket = new WebSocket(url.replace(/^http/, 'ws'));
  onTestFinished(() => socket.terminate());
  socket.on('error', () => {});
  const received = new Collected<Received>();
  socket.on('message', (data) => received.push(JSON.parse(data.toString())));
  const over = new Promise<number>((resolve) => socket.on('close', (code) => resolve(code)));
  const joined = received.find(({ event }) => event === 'hello' || event === 'closing');
  return { socket, received, over, joined };
}
