import type { WireFormat } from '../hub/frame.ts';

const FIN_AND_TEXT = 0x81;
/** Up to here a length fits in the second byte; 126 and 127 say that 2 or 8 bytes follow. */
const MAX_IN_7_BITS = 125;
const MAX_IN_16_BITS = 0xffff;

/**
 * A whole text frame of RFC 6455, section 5.2. A server's frames carry no mask, so the same bytes
 * serve every socket.
 */
export const websocketFormat: WireFormat = {
  name: 'websocket',
  length: (textBytes) => headerLength(textBytes) + textBytes,
  encode(text) {
    const length = Buffer.byteLength(text);
    const header = headerLength(length);
    const frame = Buffer.allocUnsafe(header + length);
    frame[0] = FIN_AND_TEXT;
    if (header === 2) {
      frame[1] = length;
    } else if (header === 4) {
      frame[1] = 126;
      frame.writeUInt16BE(length, 2);
    } else {
      frame[1] = 127;
      frame.writeBigUInt64BE(BigInt(length), 2);
    }
    frame.write(text, header, 'utf8');
    return frame;
  },
};

function headerLength(textBytes: number): number {
  if (textBytes <= MAX_IN_7_BITS) return 2;
  return textBytes <= MAX_IN_16_BITS ? 4 : 10;
}

/**
 * An event of the server-sent events stream (HTML Living Standard, 9.2). No `event` field, so that
 * `onmessage` gets everything. JSON holds no line break, but a line each is written all the same.
 */
export const sseFormat: WireFormat = {
  name: 'sse',
  length: (textBytes, id) =>
    (id === undefined ? 0 : `id: ${id}\n`.length) + 'data: '.length + textBytes + '\n\n'.length,
  encode(text, id) {
    // JSON has no line breaks: looking for one costs less than replacing.
    const isOneLine = !text.includes('\n') && !text.includes('\r');
    const data = isOneLine ? text : text.replaceAll(/\r\n|\n|\r/g, '\ndata: ');
    return Buffer.from(id === undefined ? `data: ${data}\n\n` : `id: ${id}\ndata: ${data}\n\n`);
  },
};

/** Tells an EventSource how long to wait before it connects again. */
export function retryField(ms: number): string {
  return `retry: ${Math.ceil(ms)}\n\n`;
}
