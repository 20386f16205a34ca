import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { emptyFolder, serve } from '../e2e/process.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import { type Heard, inBrowser, inNode, type Running, type Subject } from './subjects.ts';

/** `NETWORK_SECONDS`: how long; `npm run network` takes five minutes. */
const SECONDS = Number(process.env.NETWORK_SECONDS ?? 6);
const PATIENCE_MS = 60_000;
/** It goes on until so many connections were cut. */
const MIN_CUTS = 3;
/**
 * So many messages a room keeps, and so far behind the client may be when one more is published. The proxy lets about
 * 12 KB through a connection, and seconds pass between two: at a steady rate the client would fall behind for ever,
 * and lose what the room no longer keeps. So none of its absences is a gap.
 */
const HISTORY = 1000;
const MAX_BEHIND = 800;
/** In Node it is the heap of the test itself. */
const MAX_GROWTH_BYTES = 4_000_000;

const chromium = requireTool('chromium');
let browser: Browser;
beforeAll(async () => {
  if (chromium) browser = await launchBrowser(chromium);
});
afterAll(() => browser?.close());

const subjects: readonly Subject[] = [
  inNode('websocket'),
  inNode('sse'),
  ...(chromium ? [inBrowser('websocket', () => browser), inBrowser('sse', () => browser)] : []),
];

/** Looks at the client's clock again and again; both run on this computer's. */
async function watchClock(
  { view }: Running,
  signal: AbortSignal,
): Promise<{ looks: number; faults: string[] }> {
  const faults: string[] = [];
  let looks = 0;
  let shownMs = 0;
  while (!signal.aborted) {
    const beforeMs = Date.now();
    const { nowMs, errorMs } = await view();
    const afterMs = Date.now() + 1;
    if (Number.isFinite(errorMs ?? Number.NaN)) {
      looks++;
      if (nowMs + errorMs < beforeMs || nowMs - errorMs > afterMs)
        faults.push(`${nowMs} ± ${errorMs} is not between ${beforeMs} and ${afterMs}`);
      if (nowMs < shownMs) faults.push(`${nowMs} comes after ${shownMs}`);
      shownMs = nowMs;
    }
    await delay(100);
  }
  return { looks, faults };
}

/** Checks that numbers come once and in order, and that no gap is reported. */
class Order {
  readonly faults: string[] = [];
  /** The number that is expected next. */
  expected = 0;

  take(heard: readonly Heard[]): void {
    for (const { name, value } of heard) {
      if (name === 'gap') {
        this.faults.push(`a gap was reported behind ${this.expected - 1}`);
        continue;
      }
      if (value.data !== this.expected)
        this.faults.push(`${value.data} came where ${this.expected} was expected`);
      this.expected = value.data + 1;
    }
  }
}

describe.each(subjects)('on a bad network, the client library $name', ({ start }) => {
  test(
    `hands over each message once and in order, without a gap, for ${SECONDS} s`,
    async () => {
      // In a process of its own, so that memory shows what the client keeps.
      const { url, token } = await serve({
        config: {
          store: { path: join(emptyFolder(), 'data') },
          server: { heartbeatSeconds: 1 },
          rooms: [{ match: '*', history: HISTORY }],
          schedules: [{ name: 'clock', every: '200ms', feed: { type: 'time' } }],
          limits: { connectsPerSecondPerAddress: 0 },
        },
      });
      const publish = async (data: number) => {
        const body = JSON.stringify({ rooms: 'lobby', data });
        const headers = { authorization: `Bearer ${token}` };
        expect((await fetch(`${url}/admin/broadcast`, { method: 'POST', headers, body })).status).toBe(200);
      };
      const trouble = { delayMs: 40, cutAfterBytes: 12_000, oneOfSilent: 12 };
      const proxy = new CuttingProxy(Number(new URL(url).port), trouble, 1);
      onTestFinished(() => proxy.close());
      proxy.isCalm = true;
      const client = await start(await proxy.listen(), { rooms: ['lobby'] }, ['message', 'gap']);
      await expect
        .poll(async () => (await client.view()).errorMs, { timeout: PATIENCE_MS })
        .toBeLessThan(60_000);
      proxy.isCalm = false;
      const stop = new AbortController();
      const clock = watchClock(client, stop.signal);
      const order = new Order();
      const heapBytes: number[] = [];
      const endMs = performance.now() + SECONDS * 1000;
      let sent = 0;
      while (performance.now() < endMs || proxy.cuts < MIN_CUTS) {
        // Nothing is kept here either.
        order.take(client.heard.all.splice(0));
        if (sent - order.expected < MAX_BEHIND) {
          await publish(sent++);
          if (sent % 500 === 0) heapBytes.push(await client.heapBytes());
        }
        await delay(15);
      }
      proxy.isCalm = true;
      await publish(sent++);
      const next = () => {
        order.take(client.heard.all.splice(0));
        return order.expected;
      };
      await expect.poll(next, { timeout: PATIENCE_MS }).toBe(sent);
      stop.abort();
      const { looks, faults } = await clock;
      expect([...order.faults, ...faults]).toEqual([]);
      expect(looks).toBeGreaterThan(SECONDS);
      const [first = 0] = heapBytes.slice(2);
      const last = heapBytes.at(-1) ?? 0;
      if (SECONDS < 60) return;
      process.stderr.write(
        `${sent} messages, ${proxy.cuts} cuts, ${looks} looks at the clock, ` +
          `heap from ${first} to ${last} bytes\n`,
      );
      expect(last - first).toBeLessThan(MAX_GROWTH_BYTES);
    },
    SECONDS * 1000 + 2 * PATIENCE_MS,
  );
});
