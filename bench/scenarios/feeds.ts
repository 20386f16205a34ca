import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { numberOption, type Result, type Scenario } from '../harness/scenario.ts';
import { spread } from '../harness/statistics.ts';

const EVERY_MS = 1000;
const TIMEOUT_MS = 500;
const CHUNK = Buffer.alloc(65_536, 'x');
/** What a process takes while its code is being compiled is not compared. */
const WARM_UP_SECONDS = 30;

/** The faults that an upstream can have, by path. */
const UPSTREAM: Readonly<Record<string, (response: ServerResponse) => void>> = {
  '/silent': () => {},
  '/garbage': (response) => response.setHeader('content-type', 'application/json').end('\u0000{nope'),
  '/endless': endless,
  '/loop': (response) => response.writeHead(302, { location: '/loop' }).end(),
  '/broken': (response) => response.writeHead(500).end(),
  '/good': (response) => response.setHeader('content-type', 'application/json').end('{"good":true}'),
};

export const feeds: Scenario = {
  name: 'feeds',
  question:
    'Six feeds fail, each in its own way: does memory stay, and are four others on time? (--minutes 2)',
  async *run(bench, options): AsyncGenerator<Result> {
    const minutes = numberOption(options, 'minutes', 2);
    const upstream = createServer((request, response) => UPSTREAM[request.url ?? '']?.(response));
    await once(upstream.listen(0, '127.0.0.1'), 'listening');
    // `address()` is a string for a Unix socket only.
    const { port } = upstream.address() as AddressInfo;
    const http = (path: string) => ({ type: 'http', url: `http://127.0.0.1:${port}/${path}` });
    const failing = ['silent', 'garbage', 'endless', 'loop', 'broken'].map(http);
    // Neither it nor its child ends by itself, nor when it is asked to.
    const argv = ['sh', '-c', 'trap "" TERM; sleep 600 & while :; do sleep 1; done'];
    const good = [http('good'), http('good'), { type: 'message', data: '{{due}}' }, { type: 'time' }];
    const belfry = await bench.belfry({
      schedules: [
        ...schedules('failing', [...failing, { type: 'command', argv }]),
        ...schedules('good', good),
      ],
    });
    const subscriber = bench.subscribers();
    await subscriber.call('subscribe', {
      transport: 'websocket',
      port: belfry.port,
      count: 1,
      readsTimes: true,
    });
    await sleep(WARM_UP_SECONDS * 1000);
    await subscriber.call('watch');
    const samples: number[] = [];
    for (let second = 0; second < minutes * 60; second++) {
      await sleep(1000);
      samples.push(belfry.cost.residentKiB());
    }
    const late = spread((await subscriber.call('seen')).lateMs);
    // So that commands which run now end with their timeout: nothing else would end them.
    await belfry.ticks('failing').stop();
    await sleep(2 * TIMEOUT_MS);
    upstream.closeAllConnections();
    upstream.close();
    const quarter = Math.ceil(samples.length / 4);
    yield {
      what: 'resident memory, most in the last quarter',
      unit: 'KiB',
      belfry: Math.max(...samples.slice(-quarter)),
      against: { 'in the first': Math.max(...samples.slice(0, quarter)) },
      target: 'about 1 × in the first',
    };
    yield {
      what: 'ticks of the four good ones',
      belfry: late.count,
      target: `${(minutes * 60_000 * good.length) / EVERY_MS} ± ${good.length}`,
    };
    yield { what: 'of them, due until sent, median', unit: 'ms', belfry: late.median };
    yield { what: 'of them, due until sent, 99th percentile', unit: 'ms', belfry: late.p99 };
  },
};

function schedules(name: string, kinds: readonly object[]): { name: string; [key: string]: unknown }[] {
  return kinds.map((feed, index) => {
    return { name: `${name}-${index}`, every: `${EVERY_MS}ms`, timeout: `${TIMEOUT_MS}ms`, feed };
  });
}

/** Sends for as long as the other side reads. */
function endless(response: ServerResponse): void {
  while (response.write(CHUNK));
  response.once('drain', () => endless(response));
}
