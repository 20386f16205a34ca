import { expect, test } from 'vitest';
import { MemoryLog } from '../../src/log/memory-log.ts';
import { PauseRecords } from '../../src/log/pause-records.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

test('PauseRecords gives back what was written last', async () => {
  const limits = { historyBytes: 0, totalHistoryBytes: 0 };
  const retentionOf = () => ({ messages: 0, ms: 0 });
  const log = new MemoryLog({ clock: new ManualClock(), settings: { current: { limits, retentionOf } } });
  const records = new PauseRecords(log);
  await (await records.write('a', true)).stored;
  await records.write('b', false);
  await records.write('c', true);
  await records.write('c', undefined);
  expect(await new PauseRecords(log).read()).toEqual(
    new Map([
      ['a', true],
      ['b', false],
    ]),
  );
});
