import { MemoryLog } from '../../src/log/memory-log.ts';
import { logContract } from '../contract/log.ts';

/** Eight bytes of data in quotes, and what the log reckons for the rest of a message. */
const BYTES = 308;

logContract('MemoryLog', {
  bytesOf: (count) => count * BYTES,
  async open({ messages, ms, roomBytes, totalBytes }, clock) {
    return new MemoryLog({ clock, roomBytes, totalBytes, retentionOf: () => ({ messages, ms }) });
  },
});
