import { frame } from '../hostile/ask.ts';
import type { Random } from './cases.ts';
import type { Script } from './script.ts';

const MOST_LINES = 6;
/** `limits.maxPayloadBytes`. */
const LONGEST_LINE = 16_384;

/** Frames of a client that is in these rooms; tells the script which replies are due for them. */
export function talk(random: Random, script: Script, rooms: readonly string[]): Buffer[] {
  const frames: Buffer[] = [];
  for (let lines = random.below(MOST_LINES); lines > 0; lines--) {
    const kind = random.below(24);
    if (kind === 0) {
      script.unsound();
      frames.push(badFrame(random));
    } else if (kind === 1) {
      // Replies that have not left by then never do.
      script.unsound();
      frames.push(closing(random));
    } else if (kind === 2) {
      script.expectReplies(1);
      frames.push(...text('{"action":"close","ref":1}', random));
      script.over();
    } else if (kind < 6) {
      frames.push(control(random));
    } else {
      script.expectReplies(1);
      frames.push(...text(line(random, rooms), random));
    }
  }
  return frames;
}

/** A line that is acted on, or one that is answered with what is wrong with it. */
function line(random: Random, rooms: readonly string[]): string {
  const room = random.of([rooms[0] ?? '', `calm-${random.below(20)}`, `wild-${random.below(20)}`]);
  const data = random.of<unknown>([
    null,
    'hi',
    'ä€😀',
    { a: [1, { b: null }] },
    'x'.repeat(random.below(9000)),
  ]);
  const deep = random.below(200);
  return random.of([
    () => JSON.stringify({ action: 'ping', ref: random.below(9) }),
    () => JSON.stringify({ action: 'echo', data, ref: { a: 1 } }),
    () => JSON.stringify({ action: 'time', data: { t0: random.of<unknown>([1, 'x', null]) } }),
    () =>
      JSON.stringify({ action: 'publish', room: rooms[0], data, event: random.of(['note', 'hello', '']) }),
    () => JSON.stringify({ action: 'publish', room, data, self: random.below(2) === 0 }),
    () => JSON.stringify({ action: 'subscribe', room, since: random.of<unknown>(['a-1', undefined, 5]) }),
    () => JSON.stringify({ action: 'unsubscribe', room: `calm-${random.below(20)}` }),
    () => JSON.stringify({ action: random.of(['', 'constructor', '__proto__', 'Ping']), ref: null }),
    () => JSON.stringify({ action: random.of<unknown>([1, null, [], {}]) }),
    () => random.of(['', 'null', '[]', '5', '{"action":', '"', 'ping', '{"action":"ping"}}', '\0']),
    () => `{"action":"echo","data":${'['.repeat(deep)}${']'.repeat(deep)}}`,
    () => '["\\'.repeat(random.below(LONGEST_LINE / 3)),
    () => `{"action":"echo","data":"${'\\"'.repeat(random.below(LONGEST_LINE / 2 - 50))}`,
  ])();
}

/** A message in one frame or in several, with control frames in between. */
function text(payload: string, random: Random): Buffer[] {
  const bytes = Buffer.from(payload);
  const count = random.below(3) === 0 ? 1 + random.below(5) : 1;
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: count }, (_, index) => {
    const part = masked(
      {
        payload: bytes.subarray(index * size, (index + 1) * size),
        opcode: index === 0 ? 1 : 0,
        fin: index === count - 1,
      },
      random,
    );
    return random.below(8) === 0 ? [part, ...(index < count - 1 ? [control(random)] : [])] : [part];
  }).flat();
}

function control(random: Random): Buffer {
  return masked({ payload: random.bytes(random.below(126)), opcode: random.of([9, 10]) }, random);
}

/** A close frame as it should be, with the codes that may be sent. */
function closing(random: Random): Buffer {
  const code = Buffer.alloc(2);
  code.writeUInt16BE(random.of([1000, 1001, 3000, 4999]));
  return masked(
    { payload: random.of([Buffer.alloc(0), code, Buffer.concat([code, Buffer.from('bye')])]), opcode: 8 },
    random,
  );
}

/** Frames that RFC 6455 forbids, or that are larger than the server takes. */
function badFrame(random: Random): Buffer {
  const bytes = (...values: number[]) => Buffer.from(values);
  return random.of([
    () => masked({ payload: 'x', opcode: random.of([3, 4, 7, 11, 15]) }, random),
    () => masked({ payload: 'x', reserved: 1 + random.below(7) }, random),
    () => frame({ payload: 'x', masked: false }),
    () => masked({ payload: 'x', opcode: 0 }, random),
    () => masked({ payload: 'x', opcode: 2 }, random),
    () => masked({ payload: 'x'.repeat(126), opcode: 9 }, random),
    () => masked({ payload: 'x', opcode: 9, fin: false }, random),
    () => masked({ payload: bytes(random.of([0, 3]), random.below(256)), opcode: 8 }, random),
    () => masked({ payload: bytes(3), opcode: 8 }, random),
    () => masked({ payload: bytes(3, 232, 0xff, 0xfe), opcode: 8 }, random),
    () => masked({ payload: bytes(0xff, 0xfe, 0x80) }, random),
    () => masked({ payload: 'x'.repeat(LONGEST_LINE + 1) }, random),
    () => frame({ payload: 'x', claims: random.of([5, 126, 65_536, 2 ** 31, Number.MAX_SAFE_INTEGER]) }),
    // A length in more bytes than it needs.
    () => bytes(0x81, 0xfe, 0, 1, 0, 0, 0, 0, 0x78),
    () => bytes(0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    () =>
      Buffer.concat(
        Array.from({ length: 300 }, () => masked({ payload: '', opcode: 0, fin: false }, random)),
      ),
    () => Buffer.from('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
    () => random.bytes(1 + random.below(40)),
  ])();
}

/** As `frame`, with a mask that is not zero. */
function masked(parts: Parameters<typeof frame>[0], random: Random): Buffer {
  const bytes = frame(parts);
  const payloadAt = bytes.length - Buffer.byteLength(parts.payload ?? '');
  const mask = random.bytes(4);
  mask.copy(bytes, payloadAt - 4);
  for (let at = payloadAt; at < bytes.length; at++) {
    bytes[at] = (bytes[at] ?? 0) ^ (mask[(at - payloadAt) % 4] ?? 0);
  }
  return bytes;
}
