import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const CALLS = ['POST /admin/broadcast', 'POST /rooms/lobby'];
const send = (call: string, key: string, body = '{"data":1}') =>
  server.call(call, { body, headers: { 'Idempotency-Key': key } });

describe('Idempotency-Key', () => {
  it.each(CALLS)('%s is sent once, and refused with another body', async (call) => {
    const first = await send(call, 'k');
    const second = await send(call, 'k');
    expect([second.status, await second.text()]).toEqual([200, await first.text()]);
    const { detail } = await problemOf(await send(call, 'k', '{"data":2}'), 422);
    expect(detail).toMatch(/^the Idempotency-Key "k" came with another request before/);
    await problemOf(await send(call, 'k', '{"data": 1}'), 422);
    expect(server.hub.published).toHaveLength(1);
    expect((await send(call, 'l')).status).toBe(200);
    expect(server.hub.published).toHaveLength(2);
  });

  it('belongs to one address and query', async () => {
    await send('POST /rooms/lobby', 'k');
    await problemOf(await send('POST /rooms/other', 'k'), 422);
    await problemOf(await send('POST /rooms/lobby?key=lunch', 'k'), 422);
    await problemOf(await send('POST /admin/broadcast', 'k'), 422);
  });

  it.each(['', 'a\tb', 'k'.repeat(129)])('%j is refused', async (key) => {
    for (const call of CALLS) {
      const { errors } = await problemOf(await send(call, key), 400);
      expect(errors?.[0]?.path).toBe('Idempotency-Key');
      expect(errors?.[0]?.message).toContain('is not a key: 1 to 128 printable characters');
    }
    expect(server.hub.published).toEqual([]);
  });

  it('may be any printable characters, in UTF-8 too', async () => {
    const inBytes = Buffer.from('Schlüssel 1 "a", b').toString('latin1');
    expect((await send('POST /rooms/lobby', inBytes)).status).toBe(200);
    expect((await send('POST /rooms/lobby', 'k'.repeat(128))).status).toBe(200);
  });

  it('says nothing of a dry run or of a refused request', async () => {
    await send('POST /admin/broadcast', 'k', '{"data":1,"dryRun":true}');
    await problemOf(await send('POST /admin/broadcast', 'k', '{}'), 400);
    await problemOf(await send('POST /admin/broadcast', 'k', '{"data":1,"key":""}'), 400);
    expect((await send('POST /admin/broadcast', 'k')).status).toBe(200);
    expect(server.hub.published).toHaveLength(2);
  });
});
