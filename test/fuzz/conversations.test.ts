import { describe, expect, test } from 'vitest';
import { casesOf, Random, SEED } from './cases.ts';
import { conversation } from './conversation.ts';
import type { Conversation, Step } from './script.ts';
import { speak } from './speak.ts';
import { Trial } from './trial.ts';
import type { Watched } from './watched.ts';

const CONVERSATIONS = casesOf('conversations');

/** Of a step, in characters. */
const LONGEST_SHOWN = 1000;

describe('whole conversations with a real server', () => {
  test('end neither the process nor its ticks; sound ones get every answer', {
    timeout: 60_000 + CONVERSATIONS * 100,
  }, async () => {
    const [first, end] = range();
    let sound = 0;
    const caseOf =
      (number: number) =>
      async ({ port, token }: Watched) => {
        const one = conversationOf(number, token);
        if (one.isSound) sound++;
        const fault = await speak(port, one);
        return fault && `case ${number}: ${fault}`;
      };
    await Trial.run({ kind: 'conversations', first, end, caseOf, fail });
    // What is too wrong to get anywhere tries nothing.
    if (end - first >= CONVERSATIONS) expect(sound).toBeGreaterThan(CONVERSATIONS / 3);
  });
});

/** `FUZZ_CASE=812` or `FUZZ_CASE=800-899`: these alone. */
function range(): [first: number, end: number] {
  const only = process.env.FUZZ_CASE;
  if (!only) return [0, CONVERSATIONS];
  const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(only) ?? [];
  if (first === undefined)
    throw new Error(`FUZZ_CASE is "${only}": set it to a number or to two, as 800-899`);
  return [Number(first), Number(last) + 1];
}

/** Each case has a seed of its own, so that it is the same whatever ran before. */
function conversationOf(number: number, token: string): Conversation {
  return conversation(new Random(Math.imul(SEED, 1_000_003) + number), token);
}

function fail(which: number | string, why: string): never {
  const again = `FUZZ_SEED=${SEED} FUZZ_CASE=${which} npx vitest run test/fuzz/conversations.test.ts`;
  const steps = typeof which === 'number' ? shown(conversationOf(which, '<token>').steps) : [];
  throw new Error([`case ${which}: ${why}`, `again: ${again}`, ...steps].join('\n'));
}

/** A line for each step; what is said in pieces is put together, since the numbers of the case tell the rest. */
function shown(steps: readonly Step[]): string[] {
  const shorter: (Step | { readonly say: string; readonly pieces: number })[] = [];
  for (const step of steps) {
    const last = shorter.at(-1);
    if (last === undefined || !('say' in last) || !('say' in step || 'turns' in step)) shorter.push(step);
    else if ('say' in step) {
      const pieces = 'pieces' in last ? last.pieces + 1 : 2;
      shorter.splice(-1, 1, { say: last.say + step.say, pieces });
    }
  }
  return shorter.map((step) => {
    const text = JSON.stringify(step);
    const more = text.length - LONGEST_SHOWN;
    return `  ${more > 0 ? `${text.slice(0, LONGEST_SHOWN)}… and ${more} characters` : text}`;
  });
}
