import { beforeEach, describe, expect, it } from 'vitest';
import { FakeServer, problemOf } from './fakes.ts';

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
});

const nothingSent = () => expect(server.hub.published).toEqual([]);

describe('what is sent', () => {
  it('is a message to every room where only data is given', async () => {
    const response = await server.broadcast('{"data":"hi"}');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      id: 'k3f9-42',
      rooms: ['lobby'],
      connections: 3,
      unreached: ['wall-9'],
      unknown: [],
      kept: true,
    });
    expect(server.hub.published).toEqual([{ target: {}, event: 'message', data: '"hi"', dryRun: false }]);
  });

  it('goes to what is named, one or several of each kind, each once', async () => {
    await server.broadcast({
      rooms: 'lobby',
      devices: ['wall-3', 'wall-3'],
      connections: 'q8d1-01',
      users: ['nobody', 'ann'],
      except: [],
      event: 'display.blank',
      data: null,
      dryRun: true,
    });
    expect(server.hub.published).toEqual([
      {
        target: {
          rooms: ['lobby'],
          devices: ['wall-3'],
          connections: ['q8d1-01'],
          users: ['nobody', 'ann'],
          except: [],
        },
        event: 'display.blank',
        data: 'null',
        dryRun: true,
      },
    ]);
  });

  it.each(['0', 'false', '""', '[]', '{}', 'null', '[1,{"a":null}]'])('may be %s', async (data) => {
    expect((await server.broadcast(`{"data":${data}}`)).status).toBe(200);
    expect(server.hub.published[0]?.data).toBe(data);
  });

  it('has no line breaks, however it was written', async () => {
    await server.broadcast('{\r\n "data": {\n "text": "a\\nb\u2028"\n }\n}\n');
    expect(server.hub.published[0]?.data).toBe('{"text":"a\\nb\u2028"}');
  });

  it('keeps keys that mean something to JavaScript as the data that they are', async () => {
    await server.broadcast('{"data":{"__proto__":{"admin":true},"constructor":1}}');
    expect(server.hub.published[0]?.data).toBe('{"__proto__":{"admin":true},"constructor":1}');
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('is the last of two values of one key, as everywhere in JSON', async () => {
    await server.broadcast('{"data":1,"rooms":"a","rooms":"b","data":2}');
    expect(server.hub.published).toMatchObject([{ target: { rooms: ['b'] }, data: '2' }]);
  });

  it.each([
    ['nothing', undefined],
    ['JSON', 'application/json; charset=utf-8'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['a text', 'text/plain'],
    ['an image', 'image/png'],
    ['nonsense', ';;;'],
  ])('is read as JSON where its content type says %s', async (_, type) => {
    const headers: Record<string, string> = type === undefined ? {} : { 'Content-Type': type };
    const body = new TextEncoder().encode('{"data":"é"}');
    expect((await server.call('POST /admin/broadcast', { body, headers })).status).toBe(200);
    expect(server.hub.published[0]?.data).toBe('"é"');
  });
});

describe('what is refused', () => {
  it.each([
    ['{}', 'data', 'missing: any JSON will do, null too'],
    ['{"data":1,"room":"lobby"}', 'room', 'unknown field "room"'],
    ['{"data":1,"__proto__":{}}', '__proto__', 'unknown field "__proto__"'],
    ['{"data":1,"rooms":[]}', 'rooms', /^an empty list reaches nobody/],
    ['{"data":1,"devices":[]}', 'devices', /^an empty list reaches nobody/],
    ['{"data":1,"connections":[]}', 'connections', /^an empty list reaches nobody/],
    ['{"data":1,"users":[]}', 'users', /^an empty list reaches nobody/],
    ['{"data":1,"rooms":""}', 'rooms', /"" is not a room pattern: a room name/],
    ['{"data":1,"rooms":"<img onerror>"}', 'rooms', /is not a room pattern/],
    ['{"data":1,"rooms":["lobby","a b"]}', 'rooms[1]', /"a b" is not a room pattern/],
    ['{"data":1,"rooms":42}', 'rooms', 'expected a string or a list of strings'],
    ['{"data":1,"rooms":null}', 'rooms', 'expected a string or a list of strings'],
    ['{"data":1,"rooms":{"0":"lobby"}}', 'rooms', 'expected a string or a list of strings'],
    ['{"data":1,"rooms":["lobby",null]}', 'rooms', 'expected a string or a list of strings'],
    ['{"data":1,"rooms":[["lobby"]]}', 'rooms', 'expected a string or a list of strings'],
    ['{"data":1,"devices":"a\\u0000b"}', 'devices', /is not a device: 1 to 128 printable/],
    ['{"data":1,"users":""}', 'users', /at least one character/],
    ['{"data":1,"except":[""]}', 'except[0]', /at least one character/],
    ['{"data":1,"event":"hello"}', 'event', '"hello" is an event that only the server sends'],
    ['{"data":1,"event":"closing"}', 'event', '"closing" is an event that only the server sends'],
    ['{"data":1,"event":"status"}', 'event', '"status" is an event that only the server sends'],
    ['{"data":1,"event":"heartbeat"}', 'event', '"heartbeat" is an event that only the server sends'],
    ['{"data":1,"event":"1st"}', 'event', /"1st" is not an event name: a letter/],
    ['{"data":1,"event":"a\\nb"}', 'event', /is not an event name/],
    ['{"data":1,"event":null}', 'event', /expected a string: a letter/],
    ['{"data":1,"dryRun":"yes"}', 'dryRun', 'expected true or false'],
    ['[]', '', 'expected a JSON object, such as {"data":"hello"}'],
    ['42', '', 'expected a JSON object, such as {"data":"hello"}'],
    ['null', '', 'expected a JSON object, such as {"data":"hello"}'],
    ['"hi"', '', 'expected a JSON object, such as {"data":"hello"}'],
  ])('%s', async (body, path, message) => {
    const { errors } = await problemOf(await server.broadcast(body), 400);
    expect(errors).toHaveLength(1);
    expect(errors?.[0]?.path).toBe(path);
    expect(errors?.[0]?.message).toMatch(message);
    nothingSent();
  });

  it('more names than one call may reach', async () => {
    const rooms = Array.from({ length: 1001 }, (_, index) => `room-${index}`);
    expect((await server.broadcast({ rooms: rooms.slice(1), data: 1 })).status).toBe(200);
    const { errors } = await problemOf(await server.broadcast({ rooms, data: 1 }), 400);
    expect(errors).toEqual([{ path: 'rooms', message: 'more than 1000 are named' }]);
  });

  it('what nests deeper than a hundred levels', async () => {
    const nested = (levels: number) => `{"data":${'['.repeat(levels)}"]["${']'.repeat(levels)}}`;
    expect((await server.broadcast(nested(99))).status).toBe(200);
    for (const body of [nested(100), nested(200_000), '['.repeat(1_000_000)]) {
      const { detail } = await problemOf(await server.broadcast(body), 400);
      expect(detail).toBe('the body is nested deeper than 100 levels');
    }
    expect(server.hub.published).toHaveLength(1);
  });

  const filledWith = (unit: string) =>
    Array(Math.floor(1_000_000 / (unit.length + 1)))
      .fill(unit)
      .join(',');

  it.each([
    ['numbers in the data', `{"data":[${filledWith('1')}]}`],
    ['objects in the data', `{"data":[${filledWith('{}')}]}`],
    ['numbers where names are expected', `{"data":1,"rooms":[${filledWith('1')}]}`],
    ['names', `{"data":1,"rooms":[${filledWith('"a"')}]}`],
    ['unknown fields', `{${Array.from({ length: 70_000 }, (_, index) => `"k${index}":1`)}}`],
  ])('more %s than an event has bytes, before any is parsed', async (_, body) => {
    const { detail } = await problemOf(await server.broadcast(body), 413);
    expect(detail).toBe('the body holds more values than fit in 65536 bytes (limits.eventBytes)');
    nothingSent();
  });

  it('no marks in strings, however they are escaped', async () => {
    const data = '\\"[]{},:\\'.repeat(20_000);
    expect((await server.broadcast({ data })).status).toBe(200);
  });

  it('a thousand wrong names without naming all of them', async () => {
    const rooms = Array.from({ length: 1000 }, () => '-');
    const { errors } = await problemOf(await server.broadcast({ data: 1, rooms }), 400);
    expect(errors).toHaveLength(20);
    expect(errors?.at(-1)?.path).toBe('rooms[19]');
  });

  it('lists that nest where names are expected', async () => {
    const body = `{"data":1,"rooms":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    await problemOf(await server.broadcast(body), 400);
  });

  it('a long wrong name without repeating all of it', async () => {
    const { detail } = await problemOf(await server.broadcast({ data: 1, rooms: 'x'.repeat(100_000) }), 400);
    expect(detail.length).toBeLessThan(300);
  });

  it('a long unknown field without repeating all of it', async () => {
    const { detail } = await problemOf(await server.broadcast({ data: 1, ['x'.repeat(100_000)]: 1 }), 400);
    expect(detail.length).toBeLessThan(300);
  });

  it('thousands of faults without naming all of them', async () => {
    const fields = Array.from({ length: 30_000 }, (_, index) => `"k${index}":1`).join(',');
    const { errors } = await problemOf(await server.broadcast(`{${fields}}`), 400);
    expect(errors).toHaveLength(20);
  });

  it.each([
    ['{"data":', /is not JSON: Unexpected end/],
    ['{"data":1,}', /is not JSON: .* at position 10/],
    ["{'data':1}", /is not JSON: .* at position 1/],
    ['data=hi', /is not JSON: /],
    ['{"data":1}{"data":2}', /is not JSON: .* at position 10/],
    ['{"data":NaN}', /is not JSON: /],
  ])('a body that is not JSON, with the place where that is known: %s', async (body, message) => {
    expect((await problemOf(await server.broadcast(body), 400)).detail).toMatch(message);
    nothingSent();
  });

  it.each(['', '  \n'])('an empty body', async (body) => {
    expect((await problemOf(await server.broadcast(body), 400)).detail).toContain('the body is empty');
  });

  it('no body at all', async () => {
    const response = await server.call('POST /admin/broadcast');
    expect((await problemOf(response, 400)).detail).toContain('the body is empty');
  });

  it('a body that is not UTF-8', async () => {
    const body = Uint8Array.from([...Buffer.from('{"data":"'), 0xc3, 0x28, ...Buffer.from('"}')]);
    const response = await server.call('POST /admin/broadcast', { body });
    expect((await problemOf(response, 400)).detail).toBe('the body is not UTF-8');
    nothingSent();
  });

  it('a body that breaks off', async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode('{"data":1}'));
        controller.error(new Error('reset'));
      },
    });
    const response = await server.call('POST /admin/broadcast', { body });
    expect((await problemOf(response, 400)).detail).toBe('the body broke off');
    nothingSent();
  });

  it('multipart, whatever is in it', async () => {
    const body = new FormData();
    body.set('data', 'hi');
    await problemOf(await server.call('POST /admin/broadcast', { body }), 415);
    await problemOf(await server.broadcast('{"data":1}', { 'Content-Type': 'Multipart/Mixed' }), 415);
    nothingSent();
  });
});

describe('how large it may be', () => {
  const bodyOf = (bytes: number) => `{"data":"${'x'.repeat(bytes - 11)}"}`;

  it('exactly maxBodyBytes, and not one more', async () => {
    expect((await server.broadcast(bodyOf(1_048_576))).status).toBe(200);
    const { detail } = await problemOf(await server.broadcast(bodyOf(1_048_577)), 413);
    expect(detail).toBe('the body is larger than 1048576 bytes (limits.maxBodyBytes)');
    expect(server.hub.published).toHaveLength(1);
  });

  it('is told from Content-Length before anything is read', async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          pulled += 1;
          controller.enqueue(new Uint8Array(10));
        },
      },
      { highWaterMark: 0 },
    );
    const headers = { 'Content-Length': '1048577' };
    await problemOf(await server.call('POST /admin/broadcast', { body, headers }), 413);
    expect(pulled).toBe(0);
  });

  it.each<Record<string, string>>([{}, { 'Content-Length': '5' }])(
    'is counted while reading a body without end, its length given as %j',
    async (headers) => {
      let pulled = 0;
      let cancelled = false;
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          pulled += 1;
          controller.enqueue(new Uint8Array(65_536).fill(0x20));
        },
        cancel: () => {
          cancelled = true;
        },
      });
      await problemOf(await server.call('POST /admin/broadcast', { body, headers }), 413);
      expect(pulled).toBeLessThan(20);
      expect(cancelled).toBe(true);
    },
  );
});
