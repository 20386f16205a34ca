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

/** A request in two parts, so that what comes after its head is reached also where that is wrong. */
interface Sound {
  readonly head: string;
  readonly rest: Buffer;
}

const LINES: readonly [string, ...string[]] = [
  '{"action":"ping","ref":1}',
  '{"action":"echo","data":{"a":[1,2,{"b":null}]}}',
  '{"action":"publish","data":"hi","event":"note"}',
  '{"action":"subscribe","room":"fuzz-b","since":"a-1"}',
  '{"action":"unsubscribe","room":"fuzz-b"}',
  '{"action":"time","data":{"t0":1}}',
  '{"action":"close"}',
];
const BODY = '{"rooms":["fuzz-*"],"data":{"text":"hello"},"event":"note"}';

/** Something to start from: a handshake with frames, a body, a request of any kind. */
function sound(random: Random, token: string): Sound {
  const authorization = `Bearer ${token}`;
  const nothing = Buffer.alloc(0);
  const post = (more: Record<string, string>, body: string): Sound => ({
    head: request('/admin/broadcast', { Authorization: authorization, Connection: 'close', ...more }, 'POST'),
    rest: Buffer.from(body),
  });
  const conversation = (): Sound => {
    const some = Array.from({ length: 1 + random.below(4) }, () => frame({ payload: random.of(LINES) }));
    return { head: handshake('/rooms/fuzz-a?device=d'), rest: Buffer.concat(some) };
  };
  const plain = (): Sound => ({ rest: nothing, head: random.of(requests)() });
  const requests: readonly [() => string, ...(() => string)[]] = [
    () => request('/rooms/fuzz-a?limit=5', { Accept: 'application/json' }),
    () => request('/rooms?room=fuzz-a&room=fuzz-b', { Accept: 'text/event-stream' }),
    () => request('/rooms/fuzz-a', { Accept: 'text/html;q=0.9, */*;q=0.1', Origin: 'null' }),
    () => request('/time?t0=1') + request('/livez'),
    () => request('/admin/rooms/fuzz-a?lock=0s&reconnect=true', { Authorization: authorization }, 'DELETE'),
    () => request('/admin/connections?limit=3', { Authorization: authorization }),
  ];
  return random.of([
    conversation,
    conversation,
    () => post({ 'Content-Length': String(BODY.length) }, BODY),
    () => post({ 'Transfer-Encoding': 'chunked' }, `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`),
    plain,
  ])();
}

/** What is nearly right: a few things are wrong in the head or in what follows it. */
export function nearlyRight(random: Random, token: string): Buffer {
  const { head, rest } = sound(random, token);
  const isHeadWrong = rest.length === 0 || random.below(3) === 0;
  const bytes = Buffer.from(head);
  return Buffer.concat(isHeadWrong ? [mutated(bytes, random), rest] : [bytes, mutated(rest, random)]);
}

/** One to three places of it changed, doubled, left out or put something into. */
export function mutated(bytes: Buffer, random: Random): Buffer {
  let result = bytes;
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const at = random.below(result.length + 1);
    const to = Math.min(at + random.below(16), result.length);
    const [before, part, after] = [result.subarray(0, at), result.subarray(at, to), result.subarray(to)];
    const put = random.of([
      () => Buffer.from([(part[0] ?? 0) ^ (1 << random.below(8)), ...part.subarray(1)]),
      () => Buffer.alloc(0),
      () => Buffer.concat([part, part]),
      () => Buffer.concat([part, random.bytes(1 + random.below(8))]),
      () => Buffer.concat([part, Buffer.from(random.of(SPICE), 'latin1')]),
      () =>
        frame({
          payload: random.bytes(random.below(8)),
          opcode: random.below(16),
          reserved: random.below(8),
        }),
      () => frame({ payload: random.of(LINES), fin: random.below(2) === 0, opcode: random.below(3) }),
    ])();
    result = random.below(20) === 0 ? before : Buffer.concat([before, put, after]);
  }
  return result;
}
