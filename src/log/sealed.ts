import { crc32 } from 'node:zlib';

/** Before the bytes of a sealed value. */
export const CHECKSUM_BYTES = 4;

/** Text behind its checksum. */
export function sealed(text: string): Buffer {
  const value = Buffer.allocUnsafe(CHECKSUM_BYTES + Buffer.byteLength(text));
  value.write(text, CHECKSUM_BYTES);
  value.writeUInt32LE(crc32(value.subarray(CHECKSUM_BYTES)), 0);
  return value;
}

/** `undefined`: it is missing, or not what was sealed. */
export function unsealed(value: Buffer | undefined): string | undefined {
  if (!value || value.length < CHECKSUM_BYTES) return undefined;
  // Of the string, since another view of the bytes takes longer. What is no UTF-8 gives another string.
  const text = value.toString('utf8', CHECKSUM_BYTES);
  return crc32(text) === value.readUInt32LE(0) ? text : undefined;
}
