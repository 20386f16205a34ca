import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 100;
const NEW_EVERY_MS = 1000;
const NEW_TIMEOUT_MS = 2000;

/**
 * The longest answer of /livez on a connection that is kept, in milliseconds. A request that waits at the
 * end counts with the time so far; where one failed the answer is infinite.
 */
export async function longestLivez(port: number, signal: AbortSignal): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let longestMs = 0;
  while (!signal.aborted) {
    const askedAt = performance.now();
    const isAnswered = await get(port, agent, signal);
    const tookMs = performance.now() - askedAt;
    longestMs = Math.max(longestMs, isAnswered || signal.aborted ? tookMs : Number.POSITIVE_INFINITY);
    await sleep(EVERY_MS);
  }
  agent.destroy();
  return longestMs;
}

/** How many requests on new connections were answered in time, of how many: `9/10`. */
export async function answeredLivez(port: number, signal: AbortSignal): Promise<string> {
  let [asked, answered] = [0, 0];
  while (!signal.aborted) {
    asked++;
    if (await get(port, false, AbortSignal.any([signal, AbortSignal.timeout(NEW_TIMEOUT_MS)]))) answered++;
    await sleep(NEW_EVERY_MS);
  }
  return `${answered}/${asked}`;
}

function get(port: number, agent: Agent | false, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ port, host: '127.0.0.1', path: '/livez', agent, signal });
    asked.on('error', () => resolve(false));
    asked.on('response', (response) => {
      response.resume();
      response.on('close', () => resolve(response.statusCode === 200));
    });
    asked.end();
  });
}
