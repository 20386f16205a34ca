import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import type { AttackersApi } from '../attacks/attackers.ts';
import type { BaselineApi, TickOptions } from '../baselines/baseline.ts';
import { Belfry, type BelfryConfig, type BelfryOptions } from './belfry.ts';
import { type Calls, Remote } from './remote.ts';
import { Cost, type Server } from './server.ts';
import type { SubscribersApi } from './subscribers.ts';

/** `plain`: the same libraries as Belfry's. `ws`: `ws` alone, and one shared frame to all sockets. */
export type BaselineName = 'plain' | 'ws';

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

  /** A server of a few lines that does the same with less, to compare with. */
  async baseline(name: BaselineName, ticks: TickOptions = { everyMs: 1000 }): Promise<Server> {
    const remote = this.#fork<BaselineApi>(`../baselines/${name}.js`);
    return {
      port: await remote.call('listen'),
      cost: new Cost(remote.child.pid ?? 0),
      startTicks: () => remote.call('startTicks', ticks),
      stopTicks: () => remote.call('stopTicks'),
      broadcast: (room, bytes) => remote.call('broadcast', { room, bytes }),
    };
  }

  /**
   * A process that subscribes. With the lowest priority it leaves the cores to the server: reading
   * thousands of sockets takes as long as writing to them, and real readers are on other machines.
   */
  subscribers({ isLowPriority = false } = {}): Subscribers {
    return this.#fork<SubscribersApi>('./subscribers.js', isLowPriority);
  }

  /**
   * Attackers have the lowest priority: on two cores they would take those of the good clients,
   * which would get their ticks late from an idle server too. The server's own priority stays as it is.
   */
  attackers(): Remote<AttackersApi> {
    return this.#fork<AttackersApi>('../attacks/attackers.js', true);
  }

  #fork<Api extends Calls>(file: string, isLowPriority = false): Remote<Api> {
    const remote = new Remote<Api>(new URL(file, import.meta.url));
    const { child } = remote;
    this.#children.push(child);
    if (isLowPriority && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
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
