import { pausedClocks } from '../harness/belfry.ts';
import { Fanout, measureInTurn } from '../harness/fanout.ts';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';

const EVERY_MS = 1000;

export const sse: Scenario = {
  name: 'sse',
  question: 'SSE beside WebSocket: does a frame cost the same on both? (--connections 5000)',
  async *run(bench, options): AsyncGenerator<Result> {
    const count = numberOption(options, 'connections', 5000);
    const belfry = await bench.belfry({
      schedules: [
        ...pausedClocks(1, EVERY_MS, 'websocket', ['websocket-*']),
        ...pausedClocks(1, EVERY_MS, 'sse', ['sse-*']),
      ],
    });
    const plain = await bench.baseline('plain');
    const open = (transport: 'websocket' | 'sse', ticks = belfry.ticks(transport)) =>
      Fanout.open(bench, ticks, { transport, prefix: transport, count, everyMs: EVERY_MS });
    const [overWebSocket, overSse] = [await open('websocket'), await open('sse')];
    const streamSse = await open('sse', plain.ticks({ everyMs: EVERY_MS }));
    await measureInTurn([overWebSocket, overSse, streamSse], {
      rounds: numberOption(options, 'rounds', 2),
      ticks: 5,
    });
    yield {
      what: `one tick to ${count} over SSE: server CPU`,
      unit: 'µs/frame',
      belfry: overSse.cpuMicros,
      against: { 'plain streamSSE': streamSse.cpuMicros, WebSocket: overWebSocket.cpuMicros },
      target: 'at most 1.1 × WebSocket',
    };
  },
};
