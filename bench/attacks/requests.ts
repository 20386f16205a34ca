import { setTimeout as sleep } from 'node:timers/promises';
import type { Operate, Pipeline, Place, Repeat } from './api.ts';
import { AGAIN_MS, dial } from './sockets.ts';

const CHUNK_BYTES = 65_536;

/** Several at once do this until the time is over. */
async function several(connections: number, seconds: number, once: (endsAt: number) => Promise<void>) {
  const endsAt = performance.now() + seconds * 1000;
  const loop = async () => {
    while (performance.now() < endsAt) await once(endsAt);
  };
  await Promise.all(Array.from({ length: connections }, loop));
}

export async function repeat({ request, connections }: Repeat, { port, seconds }: Place): Promise<number> {
  let count = 0;
  await several(connections, seconds, async (endsAt) => {
    const { socket, connected, closed } = dial(port);
    socket.setTimeout(Math.max(endsAt - performance.now(), 1), () => socket.destroy());
    if (await connected) {
      socket.write(request.replaceAll('{n}', String(count++)));
      await closed;
    }
    await sleep(AGAIN_MS);
  });
  return count;
}

export async function pipeline(
  { request, connections, reads, mostBytes = Number.POSITIVE_INFINITY }: Pipeline,
  { port, seconds }: Place,
): Promise<number> {
  const perChunk = Math.ceil(Math.min(CHUNK_BYTES, mostBytes) / request.length);
  const chunk = Buffer.from(request.repeat(perChunk));
  let count = 0;
  await several(connections, seconds, async (endsAt) => {
    const { socket, connected, closed } = dial(port, undefined, () => reads);
    const over = setTimeout(() => socket.destroy(), endsAt - performance.now());
    if (!reads) socket.pause();
    if (await connected) {
      let sentBytes = 0;
      const send = () => {
        while (sentBytes < mostBytes && socket.writable) {
          sentBytes += chunk.length;
          count += perChunk;
          if (!socket.write(chunk)) {
            socket.once('drain', send);
            return;
          }
        }
      };
      send();
    }
    await closed;
    clearTimeout(over);
    await sleep(AGAIN_MS);
  });
  return count;
}

/** One call at a time, answered or not, each on a connection of its own. */
export async function operate({ request, perSecond }: Operate, place: Place): Promise<number> {
  const betweenMs = 1000 / perSecond;
  let count = 0;
  await several(1, place.seconds, async (endsAt) => {
    const beganAt = performance.now();
    const { socket, connected, closed } = dial(place.port);
    const over = setTimeout(() => socket.destroy(), endsAt - beganAt);
    if (await connected) {
      socket.write(request);
      await closed;
      count++;
    }
    clearTimeout(over);
    await sleep(Math.max(betweenMs - (performance.now() - beganAt), AGAIN_MS));
  });
  return count;
}
