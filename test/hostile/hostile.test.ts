import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createBelfry } from '../../src/belfry.ts';
import { ConfigError } from '../../src/config/errors.ts';
import { SocketGuest } from '../helpers/guest.ts';
import { handshake, request } from '../helpers/raw.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { type Ask, asOperator, frame, frames, halfClosed, http, lines } from './ask.ts';

const STAYS = /"reply":"ping","ref":"last"/;

const upgrade = (target: string, headers?: Record<string, string | undefined>, method?: string): Ask =>
  http(handshake(target, headers, method));
const get = (target: string, headers: Record<string, string | undefined> = {}): Ask =>
  http(request(target, { Connection: 'close', ...headers }));
const stream = (target: string, headers: Record<string, string> = {}): Ask =>
  get(target, { Accept: 'text/event-stream', ...headers });
const broadcast = (body: string | Buffer, headers?: string): Ask =>
  asOperator('POST', '/admin/broadcast', body, headers);
const admin = (headers: Record<string, string>, target = '/admin/rooms'): Ask => get(target, headers);

/** What the program says of a configuration. */
const config =
  (document: unknown): Ask =>
  async () => {
    try {
      createBelfry(document, { env: {} });
      return 'taken';
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
  };
const parsed = (text: string): Ask => config(JSON.parse(text));
const rule = (key: string, value: unknown): Ask => config({ rooms: [{ match: '*', [key]: value }] });
const schedule = (more: object): Ask =>
  config({ schedules: [{ name: 'a', every: '3s', feed: { type: 'time' }, ...more }] });

const chunked = 'Transfer-Encoding: chunked\r\n';
const MIB = 1_048_576;
const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

/** What is sent, and a pattern for what comes back. After all of a kind the server answers and ticks. */
type Row = readonly [what: string, ask: Ask, expected: RegExp];

const table: Readonly<Record<string, readonly Row[]>> = {
  handshakes: [
    ['to the address //', upgrade('//'), /^404 application\/problem\+json /],
    ['to an address without an end', upgrade('http://['), /^400 application\/problem\+json .*not an address/],
    ['to *', upgrade('*'), /^400 /],
    [
      'without a key',
      upgrade('/rooms/a', { 'Sec-WebSocket-Key': undefined }),
      /^400 .*Sec-WebSocket-Key is missing/,
    ],
    ['with a short key', upgrade('/rooms/a', { 'Sec-WebSocket-Key': 'YQ==' }), /^400 .*16 bytes in Base64/],
    ['of version 8', upgrade('/rooms/a', { 'Sec-WebSocket-Version': '8' }), /^426 .*send 13/],
    ['without a version', upgrade('/rooms/a', { 'Sec-WebSocket-Version': undefined }), /^426 .*missing/],
    ['with POST', upgrade('/rooms/a', {}, 'POST'), /^405 /],
    [
      'for another protocol',
      get('/rooms/a', { Connection: 'Upgrade', Upgrade: 'smoke' }),
      /^200 application\/json /,
    ],
    ['with subprotocols that are none', upgrade('/rooms/a', { 'Sec-WebSocket-Protocol': 'a,,b' }), /^400 /],
    ['with a subprotocol twice', upgrade('/rooms/a', { 'Sec-WebSocket-Protocol': 'a, a' }), /^400 /],
    ['to a room of 200 characters', upgrade(`/rooms/${'a'.repeat(200)}`), /^400 .*1 to 128/],
    ['to a room with %00', upgrade('/rooms/a%00b'), /^400 .*is not a room name/],
    ['to a room with half an escape', upgrade('/rooms/a%2'), /^400 .*not well encoded/],
    ['to a room with bytes that are not UTF-8', upgrade('/rooms/%ff%fe'), /^400 .*not well encoded/],
    ['to a room with a slash', upgrade('/rooms/a%2fb'), /^400 .*is not a room name/],
    ['to a room within a room', upgrade('/rooms/a/b'), /^404 /],
    ['to a room that climbs', upgrade('/rooms/..%2f..%2fadmin'), /^400 .*is not a room name/],
    ['to a room named __proto__', upgrade('/rooms/__proto__'), /^400 .*is not a room name/],
    ['to no room', upgrade('/rooms'), /^400 .*no room is named/],
    ['to a device with a line break', upgrade('/rooms/a?device=a%0d%0ab'), /^400 .*is not a device/],
    [
      'to a device of 200 characters',
      upgrade(`/rooms/a?device=${'d'.repeat(200)}`),
      /^400 .*is not a device/,
    ],
    ['to a locked-out place', upgrade('/admin/rooms'), /^404 /],
    [
      'from another origin',
      upgrade('/rooms/a', { Origin: 'https://evil.example' }),
      /^403 .*server\.allowedOrigins/,
    ],
    ['for another host', upgrade('/rooms/a', { Host: 'evil.example' }), /^421 .*server\.publicUrl/],
    ['without a host', upgrade('/rooms/a', { Host: undefined }), /^4(?:00|21) /],
    [
      'with 10,000 headers',
      http(handshake().replace('\r\n\r\n', `\r\n${'a: b\r\n'.repeat(10_000)}\r\n`)),
      /^431 /,
    ],
    [
      'with 1,500 short headers',
      http(
        handshake().replace('\r\n\r\n', `\r\n${'a:\r\n'.repeat(1500)}Origin: https://evil.example\r\n\r\n`),
      ),
      /^431 .*at most 100/,
    ],
    [
      'with two hosts',
      http(handshake('/rooms/a', { Host: '127.0.0.1\r\nHost: evil.example' })),
      /^400 .*two Host headers/,
    ],
    [
      'for h2c behind another request',
      http(request('/livez') + handshake('/livez', { Upgrade: 'h2c' })),
      /^200 text\/plain.* ok\nHTTP\/1\.1 400 .*cannot be pipelined/s,
    ],
    [
      'behind another request',
      http(request('/rooms/a') + handshake('/rooms/a')),
      /^200 application\/json .*HTTP\/1\.1 400 .*cannot be pipelined/s,
    ],
    [
      'behind a stream',
      http(request('/rooms/a', { Accept: 'text/event-stream' }) + handshake('/rooms/a')),
      /^(?:hung up|200 text\/event-stream (?!.*HTTP\/1\.1).*)$/s,
    ],
    ['with a header of a mebibyte', http(handshake('/rooms/a', { Cookie: 'c'.repeat(MIB) })), /^431 /],
    ['with an address of a mebibyte', http(handshake(`/rooms/a?since=${'s'.repeat(MIB)}`)), /^431 /],
  ],

  frames: [
    ['of a mebibyte', frames(frame({ payload: Buffer.alloc(MIB, 'a') })), /close 1009/],
    ['one byte too long', frames(frame({ payload: 'a'.repeat(16_385) })), /close 1009/],
    ['that claim 2^63 bytes', frames(frame({ claims: Number.MAX_SAFE_INTEGER })), /close 1009/],
    [
      'in parts that are too long together',
      frames(
        frame({ payload: 'a'.repeat(16_000), fin: false }),
        frame({ payload: 'a'.repeat(16_000), opcode: 0 }),
      ),
      /close 1009/,
    ],
    ['of bytes', frames(frame({ payload: Buffer.from([1, 2, 3]), opcode: 2 })), /close 1003/],
    ['without a mask', frames(frame({ payload: '{"action":"ping"}', masked: false })), /close 1002/],
    ['with RSV1', frames(frame({ payload: 'a', reserved: 4 })), /close 1002/],
    ['with RSV2', frames(frame({ payload: 'a', reserved: 2 })), /close 1002/],
    ['with RSV3', frames(frame({ payload: 'a', reserved: 1 })), /close 1002/],
    ['with opcode 3', frames(frame({ opcode: 3 })), /close 1002/],
    ['with opcode 15', frames(frame({ opcode: 15 })), /close 1002/],
    ['that go on with nothing', frames(frame({ payload: 'a', opcode: 0 })), /close 1002/],
    [
      'that begin before the end of another',
      frames(frame({ payload: 'a', fin: false }), frame({ payload: 'b' })),
      /close 1002/,
    ],
    ['that ping in parts', frames(frame({ opcode: 9, fin: false })), /close 1002/],
    ['that ping with 126 bytes', frames(frame({ opcode: 9, payload: 'p'.repeat(126) })), /close 1002/],
    ['that ping with 125 bytes', frames(frame({ opcode: 9, payload: 'p'.repeat(125) })), STAYS],
    ['unsolicited: a pong', frames(frame({ opcode: 10, payload: 'p' })), STAYS],
    ['of broken UTF-8', frames(frame({ payload: Buffer.from([0x7b, 0xc3, 0x28]) })), /close 1007/],
    ['of a lone surrogate', frames(frame({ payload: Buffer.from([0xed, 0xa0, 0x80]) })), /close 1007/],
    ['of UTF-8 cut at the end', frames(frame({ payload: Buffer.from([0xe2, 0x82]) })), /close 1007/],
    ['that close with one byte', frames(frame({ opcode: 8, payload: 'a' })), /close 1002/],
    [
      'that close with a code that is none',
      frames(frame({ opcode: 8, payload: Buffer.from([0, 5]) })),
      /close 1002/,
    ],
    [
      'that close with broken UTF-8',
      frames(frame({ opcode: 8, payload: Buffer.from([3, 232, 0xff]) })),
      /close 1007/,
    ],
    [
      'that ping 10,000 times at once',
      frames(Buffer.concat(Array<Buffer>(10_000).fill(frame({ opcode: 9, payload: 'p' })))),
      /close 4129/,
    ],
    [
      'unsolicited: 10,000 pongs at once',
      frames(Buffer.concat(Array<Buffer>(10_000).fill(frame({ opcode: 10 })))),
      /close 4129/,
    ],
    [
      'that hold nothing: 10,000 of them at once',
      frames(Buffer.concat(Array<Buffer>(10_000).fill(frame({})))),
      /close 4129/,
    ],
    [
      'in 64 parts of almost nothing',
      frames(
        frame({ payload: '{"action":"ping"}', fin: false }),
        ...Array.from({ length: 62 }, () => frame({ opcode: 0, fin: false })),
        frame({ opcode: 0 }),
      ),
      STAYS,
    ],
    [
      'in 65 parts of nothing',
      frames(frame({ fin: false }), ...Array.from({ length: 64 }, () => frame({ opcode: 0, fin: false }))),
      /close 1008/,
    ],
    [
      'in 2,000 parts of nothing',
      frames(frame({ fin: false }), ...Array.from({ length: 2000 }, () => frame({ opcode: 0, fin: false }))),
      /close 100[28]|hung up/,
    ],
  ],

  lines: [
    ['of nothing', lines(''), /"status":400.*not JSON.*[\s\S]*"ref":"last"/],
    [
      'that are not JSON',
      lines('hello'),
      /"status":400.*not JSON: hello; a line that works: [\s\S]*"ref":"last"/,
    ],
    ['that are cut off', lines('{"action":"pi'), /"status":400.*not JSON[\s\S]*"ref":"last"/],
    ['[]', lines('[]'), /"status":400.*not a JSON object[\s\S]*"ref":"last"/],
    ['42', lines('42'), /"status":400.*not a JSON object[\s\S]*"ref":"last"/],
    ['null', lines('null'), /"status":400.*not a JSON object[\s\S]*"ref":"last"/],
    ['"ping"', lines('"ping"'), /"status":400.*not a JSON object[\s\S]*"ref":"last"/],
    ['{}', lines('{}'), /"status":400.*\\"action\\" is missing[\s\S]*"ref":"last"/],
    [
      'with an action that is __proto__',
      lines('{"action":"__proto__"}'),
      /"status":400.*__proto__.*is not one of[\s\S]*"ref":"last"/,
    ],
    [
      'with an action that is constructor',
      lines('{"action":"constructor"}'),
      /"status":400.*is not one of[\s\S]*"ref":"last"/,
    ],
    [
      'with an action that is a list',
      lines('{"action":["ping"]}'),
      /"reply":null.*"status":400[\s\S]*"ref":"last"/,
    ],
    [
      'with __proto__ as a key',
      lines('{"__proto__":{"action":"ping"}}'),
      /"status":400.*missing[\s\S]*"ref":"last"/,
    ],
    [
      'with data of __proto__',
      lines('{"action":"echo","data":{"__proto__":{"polluted":1}}}'),
      /"reply":"echo"[\s\S]*"ref":"last"/,
    ],
    [
      'with an action of 10,000 characters',
      lines(`{"action":"${'a'.repeat(10_000)}"}`),
      /"status":400.{1,12000}"ref":"last"/s,
    ],
    ['nested as deep as fits', lines(`{"action":"echo","data":${deep(8000)}}`), STAYS],
    [
      'of a string of escaped quotes without an end',
      lines(...Array<string>(20).fill(`"${'\\"'.repeat(8190)}`)),
      /"status":400.*not JSON[\s\S]*"ref":"last"/,
    ],
    ['with a reference nested as deep as fits', lines(`{"action":"echo","ref":${deep(8000)}}`), STAYS],
    [
      'with a room of 200 characters',
      lines(`{"action":"subscribe","room":"${'r'.repeat(200)}"}`),
      /"status":400.*room[\s\S]*"ref":"last"/,
    ],
    [
      'with a room that is a pattern',
      lines('{"action":"subscribe","room":"*"}'),
      /"status":400.*room[\s\S]*"ref":"last"/,
    ],
    [
      'with a room that is a number',
      lines('{"action":"subscribe","room":7}'),
      /"status":400.*room[\s\S]*"ref":"last"/,
    ],
    [
      'with a room it is not in',
      lines('{"action":"publish","room":"other","data":1}'),
      /"status":403[\s\S]*"ref":"last"/,
    ],
    [
      'with an event of the server',
      lines('{"action":"publish","event":"hello","data":1}'),
      /"status":400.*hello[\s\S]*"ref":"last"/,
    ],
    [
      'with an event for displays',
      lines('{"action":"publish","event":"display.off","data":1}'),
      /"status":400.*display[\s\S]*"ref":"last"/,
    ],
    [
      'with an event that breaks its line',
      lines('{"action":"publish","event":"a\\nid: 7","data":1}'),
      /"status":400.*event[\s\S]*"ref":"last"/,
    ],
    [
      'with an event of 65 characters',
      lines(`{"action":"publish","event":"${'e'.repeat(65)}","data":1}`),
      /"status":400[\s\S]*"ref":"last"/,
    ],
    [
      'with an event that is an object',
      lines('{"action":"publish","event":{},"data":1}'),
      /"status":400[\s\S]*"ref":"last"/,
    ],
    ['without data', lines('{"action":"publish"}'), /"status":400.*\\"data\\" is missing[\s\S]*"ref":"last"/],
    [
      'with a time that is a text',
      lines('{"action":"time","data":{"t0":"now"}}'),
      /"status":400.*t0[\s\S]*"ref":"last"/,
    ],
    [
      'with an id that is a list',
      lines('{"action":"subscribe","room":"lobby","since":[]}'),
      /"status":400.*since[\s\S]*"ref":"last"/,
    ],
  ],

  'streams and requests': [
    ['of HTTP/0.9', http('GET /livez\r\n\r\n'), /^400 /],
    [
      'of nothing that is HTTP',
      http('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'),
      /^400 application\/problem\+json /,
    ],
    ['of a method that is none', http('PWN /rooms/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'), /^400 /],
    [
      'with a method that is not for rooms',
      http(request('/rooms/a', { Connection: 'close' }, 'DELETE')),
      /^40[45] /,
    ],
    ['with a header without a name', http('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n: x\r\n\r\n'), /^400 /],
    [
      'with a line break in a header',
      http('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rb\r\n\r\n'),
      /^400 /,
    ],
    [
      'with two lengths',
      http('POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na'),
      /^400 /,
    ],
    [
      'with a length and chunks',
      http(`POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n${chunked}\r\n0\r\n\r\n`),
      /^400 /,
    ],
    [
      'with a length below nothing',
      http('POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n'),
      /^400 /,
    ],
    [
      'with 10,000 headers',
      http(request('/livez').replace('\r\n\r\n', `\r\n${'a: b\r\n'.repeat(10_000)}\r\n`)),
      /^431 /,
    ],
    [
      'with 1,500 short headers',
      http(request('/livez').replace('\r\n\r\n', `\r\n${'a:\r\n'.repeat(1500)}\r\n`)),
      /^431 .*at most 100/,
    ],
    ['with two hosts', get('/livez', { Host: '127.0.0.1\r\nHost: evil.example' }), /^400 .*two Host headers/],
    ['with an expectation', get('/livez', { Expect: 'tea' }), /^417 application\/problem\+json /],
    [
      'with CONNECT',
      http('CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n'),
      /^405 application\/problem\+json /,
    ],
    ['of HTTP/2', http('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /^400 application\/problem\+json /],
    ['of another major version', http('GET /livez HTTP/2.0\r\n\r\n'), /^505 application\/problem\+json /],
    [
      'that are pipelined by the thousand',
      http(request('/livez').repeat(5000)),
      /^200 (?:(?!HTTP).)*(?:HTTP\/1\.1 200 (?:(?!HTTP).)*){16}$/s,
    ],
    [
      'that are pipelined before nonsense',
      http(`${request('/rooms/a')}nonsense\r\n\r\n`),
      /^200 application\/json .*HTTP\/1\.1 400 .*not HTTP/s,
    ],
    [
      'behind a stream',
      http(request('/rooms/a', { Accept: 'text/event-stream' }) + request('/livez').repeat(100)),
      /^(?:hung up|200 text\/event-stream (?!.*HTTP\/1\.1).*)$/s,
    ],
    [
      'of a client that has ended its side already',
      halfClosed(request('/livez') + request('/rooms/a', { Accept: 'text/event-stream' })),
      /200 OK.*text\/event-stream.*retry: /s,
    ],
    ['to a room of 200 characters', stream(`/rooms/${'a'.repeat(200)}`), /^400 application\/problem\+json /],
    ['to a room with %00', stream('/rooms/a%00'), /^400 /],
    ['to a room with half an escape', stream('/rooms/%'), /^400 /],
    ['to a room with a slash', stream('/rooms/a%2Fb'), /^400 /],
    ['to a room within a room', stream('/rooms/a/b'), /^404 /],
    ['from another origin', stream('/rooms/a', { Origin: 'https://evil.example' }), /^403 /],
    ['from an origin that is none', stream('/rooms/a', { Origin: '\xff<b>' }), /^403 /],
    ['for another host', stream('/rooms/a', { Host: 'evil.example' }), /^421 /],
    ['that accept nothing we have', get('/rooms/a', { Accept: 'image/png' }), /^406 /],
    ['with a limit that is none', get('/rooms/a?limit=1e9'), /^400 .*limit/],
    [
      'with an id that is none',
      get('/rooms/a?since=%00%ff', { Accept: 'application/json' }),
      /^200 application\/json .*"resumed":false/,
    ],
    ['to a file outside', get('/rooms/../../../../etc/passwd'), /^404 /],
    ['to a file outside, in disguise', get('/%2e%2e/%2e%2e/etc/passwd'), /^404 /],
    ['to bytes that are no address', get('/\u00ff\u00fe'), /^400 /],
    [
      'to a whole address',
      http('GET http://127.0.0.1/livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'),
      /^200 .*ok/,
    ],
    ['to a whole address without an end', get('http://['), /^400 /],
    ['with a time that is none', get('/time?t0=now'), /^400 .*t0/],
  ],

  bodies: [
    ['of nothing', broadcast(''), /^400 .*the body is empty/],
    ['that are not JSON', broadcast('hi'), /^400 .*the body is not JSON/],
    ['that are cut off', broadcast('{"data":'), /^400 .*the body is not JSON/],
    ['that are a list', broadcast('[]'), /^400 .*expected a JSON object/],
    ['that are a number', broadcast('42'), /^400 .*expected a JSON object/],
    ['that are null', broadcast('null'), /^400 .*expected a JSON object/],
    ['that are not UTF-8', broadcast(Buffer.from('{"data":"\xff"}', 'latin1')), /^400 .*not UTF-8/],
    ['without data', broadcast('{}'), /^400 .*"path":"data"/],
    ['with a key that is not known', broadcast('{"data":1,"colour":2}'), /^400 .*colour/],
    ['with __proto__', broadcast('{"data":1,"__proto__":{"dryRun":true}}'), /^[24]00 /],
    ['with data of __proto__', broadcast('{"data":{"__proto__":{"polluted":true}}}'), /^200 /],
    ['with an event that breaks its line', broadcast('{"data":1,"event":"a\\r\\ndata: b"}'), /^400 .*event/],
    [
      'with an event of the server',
      broadcast('{"data":1,"event":"closing"}'),
      /^400 .*only the server sends/,
    ],
    ['with a room of 200 characters', broadcast(`{"data":1,"rooms":"${'r'.repeat(200)}"}`), /^400 .*rooms/],
    ['with a room with a slash', broadcast('{"data":1,"rooms":"a/b"}'), /^400 .*rooms/],
    ['with a device with %00', broadcast('{"data":1,"devices":"a\\u0000"}'), /^400 .*devices/],
    [
      'with a hundred thousand rooms',
      broadcast(JSON.stringify({ data: 1, rooms: Array(100_000).fill('a') })),
      /^413 .*limits\.eventBytes/,
    ],
    [
      'with five hundred thousand wrong rooms',
      broadcast(`{"data":1,"rooms":[${'1,'.repeat(500_000)}1]}`),
      /^413 .*limits\.eventBytes/,
    ],
    [
      'with a thousand wrong rooms',
      broadcast(`{"data":1,"rooms":[${'"-",'.repeat(999)}"-"]}`),
      /^400 .*rooms/,
    ],
    ['with a million brackets', broadcast('['.repeat(1_000_000)), /^400 .*nested/],
    [
      'with data above the size of an event',
      broadcast(JSON.stringify({ data: 'x'.repeat(65_536) })),
      /^413 /,
    ],
    [
      'that are too large',
      broadcast(JSON.stringify({ data: 'x'.repeat(MIB) })),
      /^413 .*limits\.maxBodyBytes/,
    ],
    [
      'that claim to be too large',
      broadcast('', `${'X: y\r\n'}Content-Length: 99999999999\r\n`),
      /^4(?:00|13) /,
    ],
    ['nested a hundred thousand deep', broadcast(`{"data":${deep(100_000)}}`), /^4(?:00|13) /],
    [
      'in chunks that never end',
      broadcast(`${'10000\r\n'}${'x'.repeat(65_536)}\r\n`.repeat(20), chunked),
      /^413 /,
    ],
    ['in chunks of a size that is none', broadcast('zz\r\n', chunked), /^400 /],
    ['in chunks of a size below nothing', broadcast('-1\r\n', chunked), /^400 /],
    ['in chunks of 2^64 bytes', broadcast('fffffffffffffffff\r\n', chunked), /^4(?:00|13) /],
    [
      'in chunks with endless extensions',
      broadcast(`1;${'e'.repeat(20_000)}\r\na\r\n0\r\n\r\n`, chunked),
      /^413 /,
    ],
    ['that are forms', broadcast('--x\r\n', 'Content-Type: multipart/form-data; boundary=x\r\n'), /^415 /],
    ['for a call that has none', asOperator('DELETE', '/admin/rooms/nowhere', '{}'), /^404 /],
    ['for a call that is none', asOperator('POST', '/admin/nothing', '{}'), /^404 /],
  ],

  'calls with wrong parameters': [
    ['a room of 200 characters', asOperator('GET', `/admin/rooms/${'a'.repeat(200)}`), /^400 /],
    ['a room with %00', asOperator('GET', '/admin/rooms/a%00'), /^400 /],
    ['a room with half an escape', asOperator('GET', '/admin/rooms/%e0%a4'), /^400 /],
    ['a connection named __proto__', asOperator('DELETE', '/admin/connections/__proto__'), /^404 /],
    ['a cursor that we did not make', asOperator('GET', '/admin/rooms?cursor=!!'), /^400 .*cursor/],
    ['a limit of nothing', asOperator('GET', '/admin/rooms?limit=0'), /^400 .*limit/],
    ['a limit of many', asOperator('GET', '/admin/rooms?limit=1001'), /^400 .*limit/],
    ['a parameter that is not known', asOperator('GET', '/admin/rooms?colour=red'), /^400 .*colour/],
    ['a lock that is no duration', asOperator('DELETE', '/admin/rooms/lobby?lock=-1s'), /^400 .*lock/],
    [
      'a lock without an end',
      asOperator('DELETE', '/admin/rooms/lobby?lock=99999999999999999999d'),
      /^400 .*lock/,
    ],
    ['a schedule that is none', asOperator('POST', '/admin/schedules/__proto__/run'), /^40[04] /],
  ],

  tokens: [
    ['missing', admin({}), /^401 application\/problem\+json .*a token is needed/],
    ['empty', admin({ Authorization: 'Bearer ' }), /^401 /],
    ['of another scheme', admin({ Authorization: 'Basic YTpi' }), /^401 .*Bearer/],
    ['wrong', admin({ Authorization: 'Bearer wrong' }), /^401 .*not known/],
    ['with a blank', admin({ Authorization: 'Bearer a b' }), /^401 /],
    ['of 10,000 characters', admin({ Authorization: `Bearer ${'t'.repeat(10_000)}` }), /^401 .{0,300}\n$/],
    ['of bytes that are no text', admin({ Authorization: 'Bearer \xff\xfe' }), /^401 /],
    [
      'in the address',
      http(({ belfry }) => request(`/admin/rooms?access_token=${belfry.madeToken}`, { Connection: 'close' })),
      /^401 .*not taken from the address/,
    ],
    ['in the address of a call that is none', admin({}, '/admin/nothing?access_token=x'), /^401 /],
    [
      'in a cookie',
      http(({ belfry }) =>
        request('/admin/rooms', { Connection: 'close', Cookie: `token=${belfry.madeToken}` }),
      ),
      /^401 /,
    ],
  ],

  configurations: [
    ['that are a list', config([]), /expected|object/i],
    ['that are null', config(null), /expected|object/i],
    ['that are a number', config(42), /expected|object/i],
    [
      'with a key that is mistyped',
      config({ shedules: [] }),
      /unknown key "shedules": did you mean "schedules"\?/,
    ],
    ['with __proto__', parsed('{"__proto__":{"server":{"port":1}}}'), /__proto__|^taken$/],
    ['with constructor', parsed('{"constructor":{}}'), /unknown key "constructor"/],
    ['with a port that is none', config({ server: { port: 70_000 } }), /server\.port: /],
    ['with a port that is a text', config({ server: { port: '8080' } }), /server\.port: /],
    ['with a host that is none', config({ server: { host: 'a b' } }), /server\.host: "a b" is not a host/],
    ['with limits below nothing', config({ limits: { maxPayloadBytes: -1 } }), /limits\.maxPayloadBytes: /],
    ['with limits that are half', config({ limits: { eventBytes: 0.5 } }), /limits\.eventBytes: /],
    ['with a room pattern that is none', config({ rooms: [{ match: 'a b' }] }), /rooms\[0\]\.match: /],
    ['with a rule that is none', rule('publish', 'everybody'), /rooms\[0\]\.publish: /],
    ['with a history without an end', rule('history', 1e9), /rooms\[0\]\.history: /],
    [
      'with an interval that is a number',
      schedule({ every: 3 }),
      /schedules\[0\]\.every: 3 is not a duration: write "3s"/,
    ],
    ['with an interval of a millisecond', schedule({ every: '1ms' }), /schedules\[0\]\.every: /],
    ['with an interval and a cron', schedule({ cron: '* * * * *' }), /schedules\[0\]/],
    [
      'with a cron that is none',
      schedule({ every: undefined, cron: '61 * * * *' }),
      /schedules\[0\]\.cron: /,
    ],
    [
      'with a time zone that is none',
      schedule({ feed: { type: 'time', timezone: 'Mars/Base' } }),
      /timezone: "Mars\/Base" is not a time zone/,
    ],
    ['with a feed that is none', schedule({ feed: { type: 'telepathy' } }), /feed/],
    [
      'with a feed of __proto__',
      parsed('{"schedules":[{"name":"a","every":"3s","feed":{"type":"__proto__"}}]}'),
      /feed/,
    ],
    ['with an event of the server', schedule({ event: 'hello' }), /schedules\[0\]\.event: "hello"/],
    ['with an event that breaks its line', schedule({ event: 'a\nb' }), /schedules\[0\]\.event: /],
    [
      'with two schedules of a name',
      config({ schedules: ['a', 'a'].map((name) => ({ name, every: '3s', feed: { type: 'time' } })) }),
      /is the name of entry 0 already/,
    ],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the configuration's own notation.
    ['with a secret that is not set', schedule({ feed: { type: 'message', data: '${NOT_SET}' } }), /NOT_SET/],
    [
      'open to the world without a token',
      config({ server: { host: '0.0.0.0' } }),
      /admin\.tokens: a token is needed/,
    ],
    [
      'with a token that is too plain',
      config({ admin: { tokens: [{ name: 'a', role: 'operator', token: '' }] } }),
      /admin\.tokens\[0\]/,
    ],
    [
      'with an origin that is none',
      config({ server: { allowedOrigins: ['example.com/path'] } }),
      /allowedOrigins\[0\]: /,
    ],
  ],
};

describe('hostile input is answered, and the server goes on with its ticks:', () => {
  let server: TestServer;
  let witness: SocketGuest;

  beforeAll(async () => {
    server = await startServer({
      rooms: [{ match: '*', publish: 'members' }],
      schedules: [{ name: 'clock', every: '100ms', feed: { type: 'time' } }],
    });
    witness = new SocketGuest(`${server.url}/rooms/witness`);
    await witness.event('hello');
  });
  afterAll(() => server.stop());

  /** Failures that were logged since it was called last. A refusal is an answer; a failure is our fault. */
  const failures = () => server.logged.splice(0).filter(({ msg }) => /failed|threw|could not/.test(msg));

  for (const [kind, rows] of Object.entries(table)) {
    describe(kind, () => {
      // Waiting for a tick takes longer than most rows: it is done once for all of a kind.
      afterAll(async () => {
        const askedAt = Date.now();
        await witness.next(({ tick }) => tick !== undefined && Date.parse(tick.due) > askedAt);
        expect(failures()).toEqual([]);
      });

      test.each(rows)('%s', async (_what, ask, expected) => {
        expect(await ask(server)).toMatch(expected);
        expect((await fetch(`${server.url}/livez`)).status).toBe(200);
        expect(witness.socket.readyState).toBe(witness.socket.OPEN);
        expect(Object.keys(Object.prototype)).toEqual([]);
        expect(failures()).toEqual([]);
      });
    });
  }

  test('and no client is left in any room but the one that watched', async () => {
    await vi.waitFor(async () => expect((await server.admin('/connections')).items).toHaveLength(1), 5000);
  });
});
