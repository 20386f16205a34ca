import { serveCalls } from '../harness/remote.ts';
import { ATTACKS } from './list.ts';

const find = (name: string) => ATTACKS.find((attacked) => attacked.name === name);

const api = {
  /** Brings about what is there before the attack; what stays is not waited for. */
  prepare: async ({ name, port }: { name: string; port: number }) => {
    const before = find(name)?.before;
    const done = before?.attack({ port, seconds: before.seconds });
    if (before?.rooms === undefined) await done;
  },
  /** Answers how much was done. */
  attack: ({ name, ...place }: { name: string; port: number; seconds: number }) => find(name)?.attack(place),
};

export type AttackersApi = typeof api;

serveCalls(api);
