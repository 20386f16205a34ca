/** No input of a client may hold the event loop longer. */
export const MAX_HOLD_MS = 20;

/**
 * How often the server's event loop is looked at. What is done in one such time counts as one hold, so a hold
 * that is reported is too long by this at most.
 */
const LOOK_MS = 2;

/**
 * Runs inside the server. Writes to standard error how long the event loop was held, where that is longer than
 * permitted or than any hold since the last SIGUSR2, and at SIGUSR2 what is on the heap after garbage was
 * collected.
 *
 * A hold counts with the time in which the event loop was not idle, or with the processor time of the process
 * where that is shorter: what other programs take from the server is no fault of the server.
 */
const PROBE = `import { writeSync } from 'node:fs';
  const { performance } = globalThis;
  const cpuMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
  let longest = 0;
  let [activeBefore, cpuBefore] = [0, 0];
  setInterval(() => {
    const [active, cpu] = [performance.eventLoopUtilization().active, cpuMs()];
    const ms = Math.min(active - activeBefore, cpu - cpuBefore);
    if (ms > ${MAX_HOLD_MS} || ms > longest) writeSync(2, 'held for ' + ms.toFixed(1) + ' ms\\n');
    longest = Math.max(longest, Math.min(ms, ${MAX_HOLD_MS}));
    [activeBefore, cpuBefore] = [active, cpu];
  }, ${LOOK_MS}).unref();
  process.on('SIGUSR2', () => {
    longest = 0;
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    writeSync(2, 'heap of ' + ((heapUsed + external) / 1048576).toFixed(1) + ' MiB\\n');
    [activeBefore, cpuBefore] = [performance.eventLoopUtilization().active, cpuMs()];
  });`;

/** Arguments of Node that load the probe. */
export const PROBE_ARGS = ['--expose-gc', '--import', `data:text/javascript,${encodeURIComponent(PROBE)}`];

/** The milliseconds of a line of the probe. */
export function heldMs(line: string): number | undefined {
  return figure(/^held for ([\d.]+) ms$/, line);
}

/** The MiB of a line of the probe. */
export function heapMiB(line: string): number | undefined {
  return figure(/^heap of ([\d.]+) MiB$/, line);
}

function figure(pattern: RegExp, line: string): number | undefined {
  const found = pattern.exec(line)?.[1];
  return found === undefined ? undefined : Number(found);
}
