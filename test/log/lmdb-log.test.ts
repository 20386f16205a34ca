import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { LmdbLog } from '../../src/log/lmdb-log.ts';
import { logContract } from '../contract/log.ts';

const opened = new Map<LmdbLog, { folder: string; again: () => LmdbLog }>();

afterEach(async () => {
  for (const [log, { folder }] of opened) {
    await log.close();
    rmSync(folder, { recursive: true, force: true });
  }
  opened.clear();
});

async function start(folder: string, again: () => LmdbLog): Promise<LmdbLog> {
  const log = again();
  await log.open();
  opened.set(log, { folder, again });
  return log;
}

logContract('LmdbLog', {
  bytesOf: (count) => count * 308,
  async open({ messages, ms, roomBytes, totalBytes }, clock) {
    const limits = {
      historyBytes: roomBytes,
      totalHistoryBytes: totalBytes,
      maxBufferedBytes: Number.POSITIVE_INFINITY,
    };
    const folder = mkdtempSync(join(tmpdir(), 'belfry-log-'));
    const settings = { current: { limits, retentionOf: () => ({ messages, ms }) } };
    const onFault = (what: string) => {
      throw new Error(what);
    };
    return start(folder, () => new LmdbLog({ folder, maxBytes: 1_073_741_824, clock, settings, onFault }));
  },
  async reopen(log) {
    const one = opened.get(log as LmdbLog);
    if (!one) throw new Error('not opened here');
    opened.delete(log as LmdbLog);
    await log.close();
    return start(one.folder, one.again);
  },
});
