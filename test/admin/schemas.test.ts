import { describe, expect, it } from 'vitest';
import { readCursor, writeCursor } from '../../src/admin/schemas.ts';

describe('cursor', () => {
  it('gives back what a page ended with, whatever is in it', () => {
    for (const last of ['lobby', 'a b', 'börse 株', '', 'rooms '])
      expect(readCursor('rooms', writeCursor('rooms', last))).toBe(last);
  });

  it('is safe in an address as it stands', () => {
    expect(writeCursor('rooms', '???>>>~~~')).toMatch(/^[\w-]+$/);
  });

  it('is known from those of other lists, of others and from damaged ones', () => {
    const ours = writeCursor('rooms', 'lobby');
    const foreign = Buffer.from('lobby').toString('base64url');
    for (const cursor of [
      writeCursor('connections', 'lobby'),
      foreign,
      `${ours}=`,
      `${ours} `,
      ours.slice(3),
      '',
    ])
      expect(readCursor('rooms', cursor)).toBeUndefined();
  });
});
