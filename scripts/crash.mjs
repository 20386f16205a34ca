// Kills a server again and again under load, and looks for what was lost: npm run crash -- --kills 200
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { kills: { type: 'string', default: '200' } } });
if (!/^[1-9]\d*$/.test(values.kills)) {
  console.error(`--kills: "${values.kills}" is not a whole number above 0`);
  process.exit(2);
}
const env = { ...process.env, CRASH_KILLS: values.kills };
const { status } = spawnSync('npx', ['vitest', 'run', 'test/e2e/crash.test.ts'], { env, stdio: 'inherit' });
process.exit(status ?? 1);
