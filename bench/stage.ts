import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { AttackersApi, WatchersApi } from './attacks/api.ts';
import type { LoadApi } from './load/api.ts';
import { type Calls, Remote } from './remote.ts';
import { type BelfryConfig, type BelfryProcess, BelfryServer } from './servers/belfry.ts';
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

  belfry(config: BelfryConfig, started?: BelfryProcess): Promise<BelfryServer> {
    return BelfryServer.start(config, (child) => this.#children.push(child), started);
  }

  async plain(): Promise<PlainServer> {
    const remote = this.#remote<PlainApi>('servers/plain.js');
    return { remote, cost: new Cost(remote.child.pid ?? 0), port: await remote.call('listen') };
  }

  load(): Load {
    return this.#remote<LoadApi>('load/process.js');
  }

  watchers(): Remote<WatchersApi> {
    return this.#remote<WatchersApi>('attacks/watchers.js');
  }

  attackers(): Remote<AttackersApi> {
    return this.#remote<AttackersApi>('attacks/attackers.js');
  }

  #remote<Api extends Calls<Api>>(file: string): Remote<Api> {
    const remote = new Remote<Api>(new URL(file, import.meta.url));
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
