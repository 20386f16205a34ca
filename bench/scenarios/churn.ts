import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';

const TIMES = 10;

export const churn: Scenario = {
  name: 'churn',
  question: 'Many connect and leave, ten times over: what stays of them in memory? (--connections 5000)',
  async *run(bench, options): AsyncGenerator<Result> {
    const count = numberOption(options, 'connections', 5000);
    const { port, cost } = await bench.belfry();
    const before = await cost.settledKiB();
    const subscribers = bench.subscribers();
    const connectAndLeave = async () => {
      for (const transport of ['websocket', 'sse'] as const) {
        await subscribers.call('subscribe', { transport, port, count: count / 2 });
      }
      await subscribers.call('close');
    };
    await connectAndLeave();
    const once = await cost.quietKiB();
    for (let time = 1; time < TIMES; time++) await connectAndLeave();
    yield {
      what: `resident memory after ${count * TIMES} connected and left`,
      unit: 'KiB',
      belfry: await cost.quietKiB(),
      against: { [`after ${count}`]: once, 'before the first': before },
      target: `at most 1.1 × after ${count}`,
    };
  },
};
