import type { Transport } from '../load/client.ts';
import type { Figure } from '../report.ts';
import type { Cost } from '../servers/cost.ts';
import type { Load } from '../stage.ts';
import { median } from '../statistics.ts';
import { numberFlag, type Question } from './question.ts';

const TARGET_KIB: Readonly<Record<Transport, string>> = {
  websocket: 'at most 11 KiB',
  sse: 'at most 15 KiB',
};

/**
 * So many are there before anything is measured: by then code is compiled, and the heap has grown to
 * a size at which what it frees in between does not make those that follow look cheaper.
 */
const FIRST = 2000;

/** So many crowds are let in one after the other: the heap grows with the first, which costs more. */
const CROWDS = 5;

export const idle: Question = {
  name: 'idle',
  asks: 'An idle connection: what does it keep in memory, and what did accepting it cost?',
  async ask(stage, flags) {
    const count = numberFlag(flags, 'connections', 10_000);
    const figures: Figure[] = [];
    for (const transport of ['websocket', 'sse'] as const) {
      const plain = await stage.plain();
      const theirs = await measure(plain, stage.load(), transport, count);
      await stage.clear();
      const ours = await measure(await stage.belfry({}), stage.load(), transport, count);
      figures.push(
        {
          what: `resident memory of one of ${count}, ${transport}`,
          unit: 'KiB',
          belfry: ours.kib,
          plain: theirs.kib,
          target: TARGET_KIB[transport],
        },
        {
          what: `accepting one, ${transport}: server CPU, median of ${CROWDS} crowds`,
          unit: 'µs',
          belfry: ours.acceptMicros,
          plain: theirs.acceptMicros,
          ...(transport === 'websocket' && { target: 'at most 140 µs' }),
        },
      );
      await stage.clear();
    }
    return figures;
  },
};

type Server = { readonly port: number; readonly cost: Cost };

async function measure(
  { port, cost }: Server,
  load: Load,
  transport: Transport,
  count: number,
): Promise<{ kib: number; acceptMicros: number }> {
  const accept = async (more: number) => {
    const before = cost.cpuMs();
    await load.call('open', { transport, port, count: more });
    return ((cost.cpuMs() - before) * 1000) / more;
  };
  await accept(FIRST);
  const before = await cost.settledKiB();
  const more = count - FIRST;
  const accepts = [await accept(more)];
  const after = await cost.settledKiB();
  while (accepts.length < CROWDS) {
    await load.call('closeAll');
    await cost.settledKiB();
    accepts.push(await accept(count));
  }
  return { kib: (after - before) / more, acceptMicros: median(accepts) };
}
