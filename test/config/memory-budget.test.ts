import { describe, expect, test } from 'vitest';
import { describeMemory, type MemoryLimits, mostMemory } from '../../src/config/memory-budget.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const plenty = { total: 64 * GIB, heap: 4 * GIB };

/** As the contract has them. */
const byDefault: MemoryLimits = {
  sockets: 25_000,
  connections: 20_000,
  rooms: 10_000,
  roomsPerConnection: 100,
  maxPayloadBytes: 16_384,
  maxBodyBytes: 1_048_576,
  totalHistoryBytes: 64 * MIB,
  retainedBytes: MIB / 2,
  waitingBytes: 8 * MIB,
  idempotencyBytes: 8 * MIB,
  maxBufferedBytes: MIB,
  totalBufferedBytes: 256 * MIB,
};

/** An incomplete message is counted as unsent up to half of `maxBufferedBytes`, so the default is not a line of its own. */
const COUNTED = (Object.keys(byDefault) as (keyof MemoryLimits)[]).filter(
  (key) => key !== 'maxPayloadBytes' && key !== 'maxBufferedBytes',
);

describe('the most memory', () => {
  test('that the defaults permit is below 3.2 GiB, and nothing to warn of where that is there', () => {
    expect(mostMemory(byDefault)).toBeLessThan(3.2 * GIB);
    expect(describeMemory(byDefault, plenty).warning).toBeUndefined();
  });

  test('is told with what it is made of, and the parts make the whole', () => {
    const { lines } = describeMemory(byDefault, plenty);
    expect(lines[0]).toMatch(/^memory: at most \d+ MiB beside the program's own 90 MiB:$/);
    expect(lines).toContain('  sockets 25000 × 112 KiB, requests that wait in each = 2735 MiB');
    const whole = Number(lines[0]?.match(/\d+/)?.[0]);
    const parts = lines.slice(1).map((line) => Number(line.match(/= (\d+) MiB$/)?.[1]));
    const total = parts.reduce((sum, part) => sum + part, 0);
    expect(total).toBeGreaterThanOrEqual(whole);
    expect(total).toBeLessThan(whole + parts.length);
  });

  test.each(COUNTED)('grows with limits.%s', (key) => {
    expect(mostMemory({ ...byDefault, [key]: byDefault[key] * 2 })).toBeGreaterThan(mostMemory(byDefault));
  });

  test.each([...COUNTED.filter((key) => !key.startsWith('rooms')), 'maxPayloadBytes'] as const)(
    'is any amount where limits.%s is none, and the warning names it',
    (key) => {
      const limits = { ...byDefault, [key]: Number.POSITIVE_INFINITY };
      const { lines, warning } = describeMemory(limits, plenty);
      expect(lines[0]).toBe('memory: any amount:');
      expect(lines.join('\n')).not.toMatch(/NaN|Infinity/);
      expect(warning).toBe(`nothing bounds the memory: limits.${key} is 0`);
    },
  );

  test('grows with a message that is larger than what counts as unsent of it', () => {
    const payloads = [MIB / 2, 2 * MIB].map((maxPayloadBytes) =>
      mostMemory({ ...byDefault, maxPayloadBytes }),
    );
    expect(payloads[0]).toBe(mostMemory(byDefault));
    expect(payloads[1]).toBeGreaterThan(byDefault.sockets * 1.5 * MIB);
  });

  test('counts no more rooms in a connection than there may be', () => {
    const limits = { ...byDefault, roomsPerConnection: Number.POSITIVE_INFINITY, rooms: 100 };
    expect(mostMemory(limits)).toBe(mostMemory({ ...byDefault, rooms: 100 }));
  });

  test('above that of the machine or the container is warned of', () => {
    const expected = /^the limits permit \d+ MiB with the program, and it may use 512 MiB: lower limits\./;
    expect(describeMemory(byDefault, { ...plenty, total: 512 * MIB }).warning).toMatch(expected);
    expect(describeMemory(byDefault, { ...plenty, constrained: 512 * MIB }).warning).toMatch(expected);
    expect(describeMemory(byDefault, { ...plenty, constrained: 0 }).warning).toBeUndefined();
    expect(describeMemory(byDefault, { ...plenty, constrained: 2 ** 64 }).warning).toBeUndefined();
  });

  test('above that of the JavaScript heap is warned of, with what to set', () => {
    const { warning = '' } = describeMemory(byDefault, { ...plenty, heap: 128 * MIB });
    expect(warning).toMatch(/of JavaScript heap, and it may use 128 MiB: .*--max-old-space-size=\d+$/);
  });
});
