import { handshake, request } from '../helpers/raw.ts';
import { frame } from '../hostile/ask.ts';
import type { Random } from './cases.ts';

/** What parsers are known to stumble over. */
const SPICE: readonly [string, ...string[]] = [
  '\r\n',
  '\r\n\r\n',
  '\0',
  '%00',
  '%',
  '//',
  '..',
  '[',
  '{"__proto__":',
  '"action":"subscribe",',
  '\xff\xfe',
  '\xed\xa0\x80',
  'Content-Length: 18446744073709551616\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Upgrade: websocket\r\n',
  'Connection: close\r\n',
  'Accept: text/event-stream\r\n',
  'Expect: 100-continue\r\n',
  'Host: \r\n',
  'ffffffffffffffff\r\n',
  '9'.repeat(40),
  'a'.repeat(300),
];

/** Something sound to start from: a handshake with frames, requests of each kind. */
export function sound(random: Random, token: string): Buffer {
  const lines = [
    '{"action":"ping","ref":1}',
    '{"action":"echo","data":{"a":[1,2,{"b":null}]}}',
    '{"action":"publish","data":"hi","event":"note"}',
    '{"action":"subscribe","room":"other","since":"a-1"}',
    '{"action":"unsubscribe","room":"other"}',
    '{"action":"time","data":{"t0":1}}',
    '{"action":"close"}',
  ] as const;
  const authorization = `Bearer ${token}`;
  const body = '{"rooms":["fuzz-*"],"data":{"text":"hello"},"event":"note"}';
  const post = (more: Record<string, string>, content: string) =>
    Buffer.from(request('/admin/broadcast', { Authorization: authorization, ...more }, 'POST') + content);
  return random.of([
    () => {
      const some = Array.from({ length: 1 + random.below(4) }, () => frame({ payload: random.of(lines) }));
      const close = frame({ opcode: 8, payload: Buffer.from([3, 232]) });
      return Buffer.concat([Buffer.from(handshake('/rooms/fuzz-a?device=d')), ...some, close]);
    },
    () => Buffer.from(request('/rooms/fuzz-a?limit=5', { Accept: 'application/json' })),
    () => Buffer.from(request('/rooms?room=fuzz-a&room=fuzz-b', { Accept: 'text/event-stream' })),
    () => Buffer.from(request('/rooms/fuzz-a', { Accept: 'text/html;q=0.9, */*;q=0.1', Origin: 'null' })),
    () => Buffer.from(request('/time?t0=1', {}) + request('/livez')),
    () => post({ 'Content-Length': String(body.length) }, body),
    () => post({ 'Transfer-Encoding': 'chunked' }, `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`),
    () => Buffer.from(request('/admin/rooms/fuzz-a?lock=1s', { Authorization: authorization }, 'DELETE')),
    () => Buffer.from(request('/admin/connections?limit=3', { Authorization: authorization })),
  ])();
}

/** The same with a few things wrong. */
export function mutated(bytes: Buffer, random: Random): Buffer {
  let result = bytes;
  for (let change = 0; change <= random.below(5); change++) {
    const at = random.below(result.length + 1);
    const to = Math.min(at + random.below(16), result.length);
    const [before, taken, after] = [result.subarray(0, at), result.subarray(at, to), result.subarray(to)];
    const put = random.of([
      () => Buffer.from([(taken[0] ?? 0) ^ (1 << random.below(8)), ...taken.subarray(1)]),
      () => Buffer.alloc(0),
      () => Buffer.concat([taken, taken]),
      () => Buffer.concat([taken, random.bytes(1 + random.below(8))]),
      () => Buffer.concat([taken, Buffer.from(random.of(SPICE), 'latin1')]),
      () =>
        frame({
          payload: random.bytes(random.below(8)),
          opcode: random.below(16),
          reserved: random.below(8),
        }),
    ])();
    result = random.below(20) === 0 ? before : Buffer.concat([before, put, after]);
  }
  return result;
}
