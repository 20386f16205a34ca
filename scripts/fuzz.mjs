// Tries 2,000,000 inputs of all kinds: npm run fuzz. FUZZ_CASES and FUZZ_SEED are another number and a seed.
// SIGINT and SIGTERM end it early, with what was tried until then.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { FUZZ_CASES = '2000000', FUZZ_SEED = String(process.pid) } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'belfry-fuzz-'));
const file = join(folder, 'report.jsonl');
const env = { ...process.env, FUZZ_CASES, FUZZ_SEED, FUZZ_REPORT: file };
const startedAt = performance.now();
// Each file in a process of its own: the server of one, and sockets, leave a core to the parsers.
const tests = spawn('node', ['node_modules/vitest/vitest.mjs', 'run', 'test/fuzz'], { env, stdio: 'inherit' });
let isStopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    isStopped = true;
    tests.kill(signal);
  });
}
const [status] = await once(tests, 'exit');
const seconds = Math.round((performance.now() - startedAt) / 1000);

/** Each kind reports several times how far it got: the last line counts. */
const reports = new Map();
for (const line of existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []) {
  const report = JSON.parse(line);
  reports.set(report.kind, report);
}
rmSync(folder, { recursive: true });
let all = 0;
for (const { kind, cases, longestMs, togetherMs, growthMiB, note } of reports.values()) {
  all += cases;
  const together = togetherMs === undefined ? '' : ` (several at once: ${togetherMs.toFixed(1)} ms)`;
  const hold = `the event loop held for at most ${longestMs.toFixed(1)} ms${together}`;
  const more = note === undefined ? '' : ` (${note})`;
  console.log(`${String(cases).padStart(9)} ${kind}: ${hold}, ${growthMiB.toFixed(1)} MiB more at the end${more}`);
}
const outcome = isStopped ? 'stopped' : status === 0 ? 'no fault' : 'FAULTS: see above';
console.log(`${String(all).padStart(9)} cases in ${seconds} s, FUZZ_SEED=${FUZZ_SEED}, ${outcome}`);
process.exit(status ?? 1);
