import { parseArgs } from 'node:util';
import { admin } from './questions/admin.ts';
import { attacks } from './questions/attacks.ts';
import { burst } from './questions/burst.ts';
import { churn } from './questions/churn.ts';
import { feeds } from './questions/feeds.ts';
import { growth } from './questions/growth.ts';
import { idle } from './questions/idle.ts';
import { lateness } from './questions/lateness.ts';
import type { Question } from './questions/question.ts';
import { sse } from './questions/sse.ts';
import { stalled } from './questions/stalled.ts';
import { start } from './questions/start.ts';
import { steps } from './questions/steps.ts';
import { storm } from './questions/storm.ts';
import { tick } from './questions/tick.ts';
import { print } from './report.ts';
import { Stage } from './stage.ts';

const QUESTIONS: readonly Question[] = [
  tick,
  burst,
  sse,
  idle,
  churn,
  storm,
  stalled,
  admin,
  growth,
  lateness,
  feeds,
  start,
  steps,
  attacks,
];

const option = { type: 'string' } as const;
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    connections: option,
    rounds: option,
    seconds: option,
    minutes: option,
    'every-ms': option,
    others: option,
    only: option,
  },
});

const unknown = positionals.filter((name) => !QUESTIONS.some((question) => question.name === name));
if (unknown.length > 0) {
  const names = QUESTIONS.map(({ name, asks }) => `  ${name.padEnd(10)}${asks}`);
  console.error(`there is no bench "${unknown.join('", "')}": there are\n${names.join('\n')}`);
  process.exit(2);
}

let stage = new Stage();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stage.clear().finally(() => process.exit(1)));
}

for (const question of QUESTIONS) {
  if (positionals.length > 0 ? !positionals.includes(question.name) : question.isLong) continue;
  console.log(`${question.name}: ${question.asks}`);
  stage = new Stage();
  try {
    print(question.name, await question.ask(stage, values));
  } finally {
    await stage.clear();
  }
}
