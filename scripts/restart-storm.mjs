// Restarts a server under thousands of clients, directly and behind nginx: npm run restart-storm -- --clients 5000
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { clients: { type: 'string', default: '5000' } } });
if (!/^[1-9]\d*$/.test(values.clients)) {
  console.error(`--clients: "${values.clients}" is not a whole number above 0`);
  process.exit(2);
}
const env = { ...process.env, RESTART_CLIENTS: values.clients };
const { status } = spawnSync('npx', ['vitest', 'run', 'test/e2e/restart.test.ts'], { env, stdio: 'inherit' });
process.exit(status ?? 1);
