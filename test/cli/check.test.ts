import { describe, expect, test } from 'vitest';
import { emptyFolder, fileWith } from '../e2e/process.ts';
import { outcomeOf } from '../helpers/command.ts';

describe('check', () => {
  test('shows the next five runs of each schedule', async () => {
    const feed = { type: 'time' };
    const path = fileWith({
      schedules: [
        { name: 'often', every: '250ms', feed },
        { name: 'noon', cron: '0 12 * * *', timezone: 'Europe/Berlin', feed },
      ],
    });
    const { code, stdout, stderr } = await outcomeOf(['check', path]);
    expect(stderr).toEqual([]);
    expect(stdout[0]).toBe(`${path} is in order`);
    expect(stdout[1]).toBe('often: every 250 milliseconds (UTC), feed time');
    expect(stdout[7]).toBe('noon: at 12:00 (Europe/Berlin), feed time');
    const runs = [...stdout.slice(2, 7), ...stdout.slice(8, 13)].map(instantIn);
    expect(runs.every((at) => at > Date.now() - 20_000)).toBe(true);
    expect(runs.slice(0, 5).every((at) => at % 250 === 0)).toBe(true);
    expect(stdout[13]).toMatch(/^memory: /);
    expect(code).toBe(0);
  });

  test('tells the most memory that the limits permit, and what it is made of', async () => {
    const counts = { sockets: 2048, connections: 1024, roomsPerConnection: 1, rooms: 1 };
    const limits = { ...counts, totalBufferedBytes: 1_048_576 };
    const { stdout, stderr } = await outcomeOf(['check', fileWith({ limits })]);
    expect(stdout.slice(1)).toEqual([
      "memory: at most 314 MiB beside the program's own 90 MiB:",
      '  sockets 2048 × 112 KiB, requests that wait in each = 224 MiB',
      '  unsent or half received limits.totalBufferedBytes = 1 MiB',
      '  memberships 1024 × 1 rooms × 70 B = 1 MiB',
      '  history limits.totalHistoryBytes = 64 MiB',
      '  retained messages limits.retainedBytes = 1 MiB',
      '  waiting broadcasts limits.waitingBytes = 8 MiB',
      '  answers for retries limits.idempotencyBytes = 8 MiB',
      '  rooms 1 × 1 KiB = 1 MiB',
      '  admin bodies 4 at a time × 2 × 1024 KiB = 8 MiB',
    ]);
    expect(stderr).toEqual([]);
  });

  test.each([
    [
      { totalBufferedBytes: 1e15 },
      /^the limits permit \d+ MiB with the program, and it may use \d+ MiB: lower /,
    ],
    [{ connections: 0 }, /^nothing bounds the memory: limits\.connections is 0$/],
  ])('warns where limits permit more memory than there is: %j', async (limits, warning) => {
    const { code, stderr } = await outcomeOf(['check', fileWith({ limits })]);
    expect(stderr).toEqual([expect.stringMatching(warning)]);
    expect(code).toBe(0);
  });

  test('without a file it takes the one that serve would take', async () => {
    const path = fileWith({ schedules: [] });
    const { stdout } = await outcomeOf(['check'], { env: { BELFRY_CONFIG: path } });
    expect(stdout[0]).toBe(`${path} is in order`);
    const builtIn = await outcomeOf(['check'], { cwd: emptyFolder() });
    expect(builtIn.stdout[0]).toBe('the built-in default is in order');
  });

  test('prints the faults of a broken file, a line each, with exit code 2', async () => {
    const path = fileWith({ server: { prot: 1 }, rooms: [{ match: '!' }] });
    const { code, stdout, stderr } = await outcomeOf(['check', path]);
    expect(stderr).toHaveLength(2);
    expect(stderr.some((line) => line.includes('did you mean "port"?'))).toBe(true);
    expect(stdout).toEqual([]);
    expect(code).toBe(2);
  });
});

describe('explain', () => {
  const feed = { type: 'time' };
  const nightly = { name: 'nightly', cron: '30 2 * * *', timezone: 'Europe/Berlin', feed };

  test('tells the next runs of a schedule, and what daylight saving does to them', async () => {
    const path = fileWith({ schedules: [nightly] });
    const from = ['--from', '2026-03-28T00:00:00Z', '--count', '3'];
    const { code, stdout, stderr } = await outcomeOf(['explain', 'nightly', '--config', path, ...from]);
    expect(stdout).toEqual([
      'nightly: at 02:30 (Europe/Berlin)',
      '  Sat 2026-03-28 02:30:00+01:00  2026-03-28T01:30:00.000Z',
      '  Sun 2026-03-29 03:00:00+02:00  2026-03-29T01:00:00.000Z  the clocks go forward: 02:30 does not exist, runs at 03:00',
      '  Mon 2026-03-30 02:30:00+02:00  2026-03-30T00:30:00.000Z',
    ]);
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
  });

  test('tells ten from now on where it is asked for nothing else', async () => {
    const { stdout } = await outcomeOf(['explain', 'clock'], { cwd: emptyFolder() });
    expect(stdout[0]).toBe('clock: every 3 seconds (UTC)');
    const runs = stdout.slice(1).map(instantIn);
    expect(runs).toEqual(runs.map((_, index) => (runs[0] ?? 0) + index * 3000));
    expect(runs).toHaveLength(10);
    expect(Math.abs((runs[0] ?? 0) - Date.now())).toBeLessThan(20_000);
  });

  test.each([
    [['clok'], 'there is no schedule "clok"; known: clock'],
    [['clock', '--from', 'tomorrow'], '--from: "tomorrow" is not an instant: write "2026-11-20T18:00:00Z"'],
    [['clock', '--from', '2026-13-01T00:00Z'], '--from: "2026-13-01T00:00Z" is not an instant'],
    [['clock', '--from', '2026-02-30T00:00Z'], '--from: "2026-02-30T00:00Z" is not an instant'],
    [['clock', '--count', '0'], '--count: "0" is not a whole number from 1 to 1000'],
    [['clock', '--count', 'many'], '--count: "many" is not a whole number from 1 to 1000'],
    [[], "error: missing required argument 'schedule'"],
  ])('says what is wrong with %j', async (args, message) => {
    const { code, stdout, stderr } = await outcomeOf(['explain', ...args], { cwd: emptyFolder() });
    expect(stderr).toEqual([expect.stringContaining(message)]);
    expect(stdout).toEqual([]);
    expect(code).toBe(1);
  });
});

/** The instant that a line tells of. */
function instantIn(line: string): number {
  return Date.parse(/\S+Z/.exec(line)?.[0] ?? '');
}
