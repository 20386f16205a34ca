import { numberFlag, type Question } from './question.ts';

const TIMES = 10;

export const churn: Question = {
  name: 'churn',
  asks: 'Many come and go, ten times over: what stays of them? (--connections 5000)',
  async ask(stage, flags) {
    const count = numberFlag(flags, 'connections', 5000);
    const { port, cost } = await stage.belfry({});
    const before = await cost.settledKiB();
    const load = stage.load();
    const comeAndGo = async () => {
      for (const transport of ['websocket', 'sse'] as const) {
        await load.call('open', { transport, port, count: count / 2 });
      }
      await load.call('closeAll');
    };
    await comeAndGo();
    const first = await cost.quietKiB();
    for (let time = 1; time < TIMES; time++) await comeAndGo();
    const last = await cost.quietKiB();
    return [
      { what: 'resident memory before anybody came', unit: 'KiB', belfry: before },
      { what: `resident memory after ${count} came and went`, unit: 'KiB', belfry: first },
      {
        what: `the same after ${count * TIMES}`,
        unit: 'KiB',
        belfry: last,
        ratio: last / first,
        target: 'ratio at most 1.1',
      },
    ];
  },
};
