import { belfryContender, contest, crowd, pausedClocks, plainContender } from '../contest.ts';
import { numberFlag, type Question } from './question.ts';

const EVERY_MS = 1000;
const COUNT = 5000;

export const sse: Question = {
  name: 'sse',
  asks: 'SSE beside WebSocket: does a frame cost the same on both?',
  async ask(stage, flags) {
    const belfry = await stage.belfry({
      schedules: [
        ...pausedClocks(1, EVERY_MS, { rooms: ['websocket-*'], named: 'websocket' }),
        ...pausedClocks(1, EVERY_MS, { rooms: ['sse-*'], named: 'sse' }),
      ],
    });
    const plain = await stage.plain();
    const contenders = [];
    for (const transport of ['websocket', 'sse'] as const) {
      const listeners = await crowd(stage, { transport, prefix: transport, port: belfry.port, count: COUNT });
      contenders.push(belfryContender(belfry, listeners, transport));
    }
    const plainListeners = await crowd(stage, { transport: 'sse', port: plain.port, count: COUNT });
    contenders.push(plainContender(plain, plainListeners, { everyMs: EVERY_MS, ticks: 1 }));
    const [overWebSocket, overSse, theirs] = await contest(contenders, {
      everyMs: EVERY_MS,
      waves: 5,
      rounds: numberFlag(flags, 'rounds', 2),
    });
    if (!overWebSocket || !overSse || !theirs) return [];
    return [
      {
        what: `one tick to ${COUNT} over SSE: server CPU (plain: streamSSE)`,
        unit: 'µs/frame',
        belfry: overSse.cpuMicros,
        plain: theirs.cpuMicros,
      },
      { what: `the same over WebSocket`, unit: 'µs/frame', belfry: overWebSocket.cpuMicros },
      {
        what: 'SSE as a part of WebSocket',
        unit: '',
        belfry: overSse.cpuMicros,
        plain: overWebSocket.cpuMicros,
        target: 'ratio at most 1.1',
      },
    ];
  },
};
