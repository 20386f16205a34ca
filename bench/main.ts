import { parseArgs } from 'node:util';
import { Bench } from './harness/bench.ts';
import { jsonOf, lineOf, type Scenario } from './harness/scenario.ts';
import { admin } from './scenarios/admin.ts';
import { attacks } from './scenarios/attacks.ts';
import { churn } from './scenarios/churn.ts';
import { fanouts } from './scenarios/fanout.ts';
import { idle } from './scenarios/idle.ts';
import { lateness } from './scenarios/lateness.ts';
import { refused } from './scenarios/refused.ts';
import { stalled } from './scenarios/stalled.ts';
import { start } from './scenarios/start.ts';
import { store } from './scenarios/store.ts';
import { storm } from './scenarios/storm.ts';

const SCENARIOS: readonly Scenario[] = [
  ...fanouts,
  idle,
  start,
  storm,
  refused,
  stalled,
  admin,
  lateness,
  store,
  attacks,
  churn,
];

const string = { type: 'string' } as const;
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    connections: string,
    rooms: string,
    rounds: string,
    seconds: string,
    minutes: string,
    'every-ms': string,
    others: string,
    only: string,
  },
});
const { json = false, ...options } = values;

const unknown = positionals.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
if (unknown.length > 0) {
  const names = SCENARIOS.map(({ name, question }) => `  ${name.padEnd(10)}${question}`);
  console.error(`there is no scenario "${unknown.join('", "')}"; known:\n${names.join('\n')}`);
  process.exit(2);
}

const bench = new Bench();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void bench.clear().finally(() => process.exit(1)));
}

for (const scenario of SCENARIOS) {
  if (positionals.length > 0 ? !positionals.includes(scenario.name) : scenario.isLong) continue;
  if (!json) console.log(`${scenario.name}: ${scenario.question}`);
  try {
    for await (const result of scenario.run(bench, options)) {
      console.log(json ? jsonOf(scenario.name, result) : lineOf(result));
    }
  } finally {
    await bench.clear();
  }
}
