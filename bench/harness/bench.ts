import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import type { AttackersApi } from '../attacks/attackers.ts';
import type { BaselineApi, TickOptions } from '../baselines/baseline.ts';
import { Belfry, type BelfryConfig, type BelfryOptions } from './belfry.ts';
import { Remote } from './remote.ts';
import { Cost, type Server, type Ticks } from './server.ts';
import type { SubscribersApi } from './subscribers.ts';

/** A server of a few lines that does the same with less, to compare with. */
export interface Baseline extends Server {
  ticks(options: TickOptions): Ticks;
}

export type Subscribers = Remote<SubscribersApi>;

/** The processes of one scenario. */
export class Bench {
  readonly #children: ChildProcess[] = [];

  async belfry(config: BelfryConfig = {}, options: BelfryOptions = {}): Promise<Belfry> {
    const belfry = new Belfry(config, options);
    this.#children.push(belfry.child);
    await belfry.listening;
    return belfry;
  }

  /** `plain`: the same libraries as Belfry's. `ws`: `ws` alone, and one shared frame to all sockets. */
  async baseline(name: 'plain' | 'ws'): Promise<Baseline> {
    const remote = this.#fork<BaselineApi>(`../baselines/${name}.js`);
    const server: Server = {
      port: await remote.call('listen'),
      cost: new Cost(remote.child.pid ?? 0),
      broadcast: (room, bytes) => remote.call('broadcast', { room, bytes }),
    };
    return {
      ...server,
      ticks: (options) => ({
        server,
        start: () => remote.call('startTicks', options),
        stop: () => remote.call('stopTicks'),
      }),
    };
  }

  /**
   * A process that subscribes. With the lowest priority it leaves the cores to the server: reading
   * thousands of sockets takes as long as writing to them, and real readers are on other machines.
   */
  subscribers({ isLowPriority = false } = {}): Subscribers {
    const remote = this.#fork<SubscribersApi>('./subscribers.js');
    if (isLowPriority) lowerPriority(remote.child);
    return remote;
  }

  /**
   * Attackers have the lowest priority: on two cores they would take those of the good clients,
   * which would get their ticks late from an idle server too. The server's own priority stays as it is.
   */
  attackers(): Remote<AttackersApi> {
    const remote = this.#fork<AttackersApi>('../attacks/attackers.js');
    lowerPriority(remote.child);
    return remote;
  }

  #fork<Api extends AttackersApi | BaselineApi | SubscribersApi>(file: string): Remote<Api> {
    const remote = new Remote<Api>(new URL(file, import.meta.url));
    this.#children.push(remote.child);
    return remote;
  }

  /** Ends all processes, so that a scenario can go on with new ones. */
  async clear(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
}

function lowerPriority({ pid }: ChildProcess): void {
  if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW);
}
