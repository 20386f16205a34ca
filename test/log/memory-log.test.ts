import { MemoryLog } from '../../src/log/memory-log.ts';
import { logContract } from '../contract/log.ts';

/** Eight bytes of data in quotes, and what the log reckons for the rest of a message. */
const BYTES = 308;

logContract('MemoryLog', {
  bytesOf: (count) => count * BYTES,
  async open({ messages, ms, roomBytes, totalBytes }, clock) {
    const limits = { historyBytes: roomBytes, totalHistoryBytes: totalBytes };
    return new MemoryLog({ clock, settings: { current: { limits, retentionOf: () => ({ messages, ms }) } } });
  },
});
