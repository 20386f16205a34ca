import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { embedded } from '../e2e/embedded.ts';
import { emptyFolder } from '../e2e/process.ts';
import { launchBrowser, requireTool } from '../helpers/browser.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import { inBrowser, inNode, type Running, type Subject } from './subjects.ts';

/** `NETWORK_SECONDS`: how long; `npm run network` takes five minutes. */
const SECONDS = Number(process.env.NETWORK_SECONDS ?? 6);
const PATIENCE_MS = 60_000;

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

describe.each(subjects)('on a bad network, the client library $name', ({ start }) => {
  test(
    `hands over each message once and in order or reports a gap, for ${SECONDS} s`,
    async () => {
      const store = { path: join(emptyFolder(), 'data') };
      const { url, belfry } = await embedded({
        store,
        server: { heartbeatSeconds: 1 },
        rooms: [{ match: '*', history: 200 }],
        schedules: [{ name: 'clock', every: '200ms', feed: { type: 'time' } }],
        limits: { connectsPerSecondPerAddress: 0 },
      });
      const trouble = { delayMs: 40, cutAfterBytes: 6000, oneOfSilent: 12 };
      const proxy = new CuttingProxy(Number(new URL(url).port), trouble, 1);
      onTestFinished(() => proxy.close());
      proxy.isCalm = true;
      const client = await start(await proxy.listen(), { rooms: ['lobby'] });
      const { heard } = client;
      await heard.find(({ name, value }) => name === 'received' && value.event === 'hello', PATIENCE_MS);
      proxy.isCalm = false;
      const stop = new AbortController();
      const clock = watchClock(client, stop.signal);
      const endMs = performance.now() + SECONDS * 1000;
      const memory: number[] = [];
      let sent = 0;
      while (performance.now() < endMs) {
        await belfry.publish({ target: { rooms: ['lobby'] }, data: sent++ });
        if (sent % 200 === 0) {
          globalThis.gc?.();
          memory.push(process.memoryUsage().heapUsed);
        }
        await delay(15);
      }
      proxy.isCalm = true;
      await belfry.publish({ target: { rooms: ['lobby'] }, data: sent++ });
      await heard.find(({ name, value }) => name === 'message' && value.data === sent - 1, PATIENCE_MS);
      stop.abort();
      const { looks, faults } = await clock;
      expect(faults).toEqual([]);
      expect(looks).toBeGreaterThan(SECONDS);
      let expected = 0;
      let gaps = 0;
      let isGap = false;
      for (const { name, value } of heard.all) {
        if (name === 'gap') {
          isGap = true;
          gaps++;
        }
        if (name !== 'message') continue;
        // Only after a gap may numbers be missing; never does one come twice or late.
        expect(value.data).toBeGreaterThanOrEqual(expected);
        if (!isGap) expect(value.data).toBe(expected);
        isGap = false;
        expected = value.data + 1;
      }
      expect(expected).toBe(sent);
      expect(proxy.cuts).toBeGreaterThan(SECONDS / 10);
      process.stderr.write(
        `${sent} messages, ${proxy.cuts} cuts, ${gaps} gaps, ${looks} looks at the clock\n`,
      );
    },
    SECONDS * 1000 + 2 * PATIENCE_MS,
  );
});
