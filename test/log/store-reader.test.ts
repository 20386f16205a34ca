import { beforeEach, describe, expect, test } from 'vitest';
import { Ids } from '../../src/log/ids.ts';
import type { StoreFile } from '../../src/log/store-file.ts';
import { StoreReader } from '../../src/log/store-reader.ts';

describe('StoreReader', () => {
  let lost = 0;
  let newest = 0;
  beforeEach(() => {
    [lost, newest] = [0, 0];
  });

  /** What is asked of the file, for a room with all positions up to `newest`. */
  const file = {
    entries: (_: string, upTo: number, limit: number) =>
      Array.from({ length: Math.min(limit, upTo, newest) }, (_, n) => ({ position: upTo - n, atMs: 0 })),
    message: () => undefined,
    lostOf: () => lost,
    gapOf: () => lost,
  };
  const limits = { maxBufferedBytes: Number.POSITIVE_INFINITY };
  const reader = new StoreReader({
    // The other methods write, or are the trimmer's.
    file: file as unknown as StoreFile,
    ids: new Ids('e'),
    settings: { current: { limits, retentionOf: () => ({ messages: 100_000, ms: 1000 }) } },
    nowMs: () => 0,
    onDamaged: () => {},
  });

  test('counts very many messages in slices', async () => {
    newest = 50_000;
    let iterations = 0;
    let isDone = false;
    const iterate = () => {
      iterations++;
      if (!isDone) setImmediate(iterate);
    };
    setImmediate(iterate);
    const { count } = await reader.count('a', newest, 100_000);
    isDone = true;
    expect(count).toBe(50_000);
    expect(iterations).toBeGreaterThan(20);
  });

  test('does not say that what memory has is lost', async () => {
    lost = 6;
    const span = await reader.span({ room: 'a', position: 5, limit: 10, from: 3, later: 5 });
    expect(span).toMatchObject({ messages: [], above: 3, gap: 3, isAll: true });
  });
});
