import type { Clock } from '../clock.ts';

/** How long sockets may take to end by themselves once the server has stopped. */
const FAREWELL_MS = 1000;

/** Something that ends with `close`: a socket, a response. */
export interface Ending {
  readonly closed: boolean;
  once(event: 'close', listener: () => void): unknown;
  destroy(): unknown;
}

/** Resolves when all are closed: cut after a second, or as soon as `signal` aborts. */
export async function farewell(
  sockets: readonly Ending[],
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const open = sockets.filter(({ closed }) => !closed);
  if (open.length === 0) return;
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  const all = Promise.all(
    open.map((socket) => new Promise<void>((resolve) => socket.once('close', resolve))),
  );
  const cancel = clock.after(FAREWELL_MS, cut);
  signal.addEventListener('abort', cut);
  if (signal.aborted) cut();
  await all;
  signal.removeEventListener('abort', cut);
  cancel();
}
