import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { LoadApi } from './load/api.ts';
import { Remote } from './remote.ts';
import { BelfryServer } from './servers/belfry.ts';
import { Cost } from './servers/cost.ts';
import type { PlainApi } from './servers/plain.ts';

export type Load = Remote<LoadApi>;

export interface PlainServer {
  readonly remote: Remote<PlainApi>;
  readonly cost: Cost;
  readonly port: number;
}

/** The processes of one question: none is left when it is over. */
export class Stage {
  readonly #children: ChildProcess[] = [];

  belfry(config: Parameters<typeof BelfryServer.start>[0]): Promise<BelfryServer> {
    return BelfryServer.start(config, (child) => this.#children.push(child));
  }

  async plain(): Promise<PlainServer> {
    const remote = new Remote<PlainApi>(new URL('servers/plain.js', import.meta.url));
    this.#children.push(remote.child);
    return { remote, cost: new Cost(remote.child.pid ?? 0), port: await remote.call('listen') };
  }

  load(): Load {
    const remote = new Remote<LoadApi>(new URL('load/process.js', import.meta.url));
    this.#children.push(remote.child);
    return remote;
  }

  /** Ends what was started so far, so that a question may go on with fresh processes. */
  async clear(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
}
