// Tries 2,000,000 inputs of all kinds: npm run fuzz. FUZZ_CASES and FUZZ_SEED are another number and a seed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { FUZZ_CASES = '2000000', FUZZ_SEED = String(process.pid) } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'belfry-fuzz-'));
const file = join(folder, 'report.jsonl');
const env = { ...process.env, FUZZ_CASES, FUZZ_SEED, FUZZ_REPORT: file };
const startedAt = performance.now();
// Each file in a process of its own: the server of one, and sockets, leave a core to the parsers.
const { status } = spawnSync('npx', ['vitest', 'run', 'test/fuzz'], { env, stdio: 'inherit' });
const seconds = Math.round((performance.now() - startedAt) / 1000);

const reports = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line)) : [];
rmSync(folder, { recursive: true });
for (const { kind, cases, longestMs, growthMiB } of reports) {
  const hold = longestMs === undefined ? '' : `, the event loop held for at most ${longestMs.toFixed(1)} ms`;
  const growth = growthMiB === undefined ? '' : `, ${growthMiB.toFixed(1)} MiB more at the end`;
  console.log(`${String(cases).padStart(9)} ${kind}${hold}${growth}`);
}
const all = reports.reduce((sum, { cases }) => sum + cases, 0);
console.log(`${String(all).padStart(9)} cases in ${seconds} s, FUZZ_SEED=${FUZZ_SEED}, ${status === 0 ? 'no fault' : 'FAULTS: see above'}`);
process.exit(status ?? 1);
