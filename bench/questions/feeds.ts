import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { numberFlag, type Question } from './question.ts';

const EVERY_MS = 1000;
const TIMEOUT_MS = 500;
const CHUNK = Buffer.alloc(65_536, 'x');
/** What a process takes when it has just begun to work, and its code is compiled, is not compared. */
const WARM_SECONDS = 30;

/** By their paths, the faults that an upstream can have. */
const UPSTREAM: Readonly<Record<string, (response: ServerResponse) => void>> = {
  '/silent': () => {},
  '/garbage': (response) => response.setHeader('content-type', 'application/json').end('\u0000{nope'),
  '/endless': pour,
  '/loop': (response) => response.writeHead(302, { location: '/loop' }).end(),
  '/broken': (response) => response.writeHead(500).end(),
  '/good': (response) => response.setHeader('content-type', 'application/json').end('{"good":true}'),
};

export const feeds: Question = {
  name: 'feeds',
  asks: 'Six feeds fail, each in its own way: does memory stay, and are four others on time? (--minutes 2)',
  async ask(stage, flags) {
    const minutes = numberFlag(flags, 'minutes', 2);
    const upstream = createServer((request, response) => UPSTREAM[request.url ?? '']?.(response));
    await once(upstream.listen(0, '127.0.0.1'), 'listening');
    // Listening on TCP, as was asked for.
    const { port } = upstream.address() as AddressInfo;
    const failing = ['silent', 'garbage', 'endless', 'loop', 'broken'].map((path) => http(port, path));
    // Neither it nor its child ends by itself, nor when it is asked to.
    const command = {
      type: 'command',
      argv: ['sh', '-c', 'trap "" TERM; sleep 600 & while :; do sleep 1; done'],
    };
    const good = [http(port, 'good'), http(port, 'good'), message, { type: 'time' }];
    const belfry = await stage.belfry({
      schedules: [
        ...schedules('failing', [...failing, command]),
        ...schedules('good', good, { event: 'good' }),
      ],
    });
    const load = stage.load();
    await load.call('open', { transport: 'websocket', port: belfry.port, count: 1, times: true });
    await sleep(WARM_SECONDS * 1000);
    await load.call('times');
    const samples: number[] = [];
    for (let second = 0; second < minutes * 60; second++) {
      await sleep(1000);
      samples.push(belfry.cost.residentKiB());
    }
    const { late } = await load.call('times');
    // Commands that run now are ended with their timeout: nobody else would end them.
    await belfry.pause('failing');
    await sleep(2 * TIMEOUT_MS);
    upstream.closeAllConnections();
    upstream.close();
    const quarter = Math.ceil(samples.length / 4);
    const first = Math.max(...samples.slice(0, quarter));
    const last = Math.max(...samples.slice(-quarter));
    return [
      { what: 'resident memory, most in the first quarter', unit: 'KiB', belfry: first },
      {
        what: 'the same in the last quarter',
        unit: 'KiB',
        belfry: last,
        ratio: last / first,
        target: 'ratio about 1',
      },
      {
        what: 'ticks of the four good ones',
        unit: '',
        belfry: late.count,
        target: `${(minutes * 60_000 * good.length) / EVERY_MS} ± ${good.length}`,
      },
      { what: 'of them, due until sent, median', unit: 'ms', belfry: late.median },
      { what: 'of them, due until sent, 99th percentile', unit: 'ms', belfry: late.p99 },
    ];
  },
};

const message = { type: 'message', data: '{{due}}' };

function http(port: number, path: string): object {
  return { type: 'http', url: `http://127.0.0.1:${port}/${path}` };
}

function schedules(named: string, kinds: readonly object[], more: object = {}): object[] {
  return kinds.map((feed, index) => {
    return { name: `${named}-${index}`, every: `${EVERY_MS}ms`, timeout: `${TIMEOUT_MS}ms`, feed, ...more };
  });
}

/** More and more, for as long as somebody reads. */
function pour(response: ServerResponse): void {
  while (response.write(CHUNK));
  response.once('drain', () => pour(response));
}
