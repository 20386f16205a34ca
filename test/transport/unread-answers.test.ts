import { describe, expect, it } from 'vitest';
import type { UnreadAnswer } from '../../src/transport/pipeline.ts';
import { BoundedAnswers } from '../../src/transport/unread-answers.ts';

class Answer implements UnreadAnswer {
  readonly unsentBytes: number;
  isCut = false;
  looks = 0;
  readonly #bytes: () => number;

  constructor(bytes: number | (() => number)) {
    this.#bytes = typeof bytes === 'number' ? () => bytes : bytes;
    const looked = () => this.looks++;
    const read = this.#bytes;
    this.unsentBytes = 0;
    Object.defineProperty(this, 'unsentBytes', {
      get: () => {
        looked();
        return read();
      },
    });
  }

  cut(): void {
    this.isCut = true;
  }
}

function added(answers: BoundedAnswers, ...bytes: (number | (() => number))[]): Answer[] {
  return bytes.map((each) => {
    const answer = new Answer(each);
    answers.add(answer);
    return answer;
  });
}

describe('BoundedAnswers', () => {
  it('cuts nothing while all fit', () => {
    const all = added(new BoundedAnswers({ totalBufferedBytes: 100 }), 30, 30, 40);
    expect(all.filter(({ isCut }) => isCut)).toEqual([]);
  });

  it('cuts the largest first, of equal ones the oldest, down to three quarters', () => {
    const answers = new BoundedAnswers({ totalBufferedBytes: 100 });
    const all = added(answers, 10, 20, 40, 20, 15);
    expect(all.map(({ isCut }) => isCut)).toEqual([false, false, true, false, false]);
    added(answers, 10, 10, 10, 10);
    expect(all.map(({ isCut }) => isCut)).toEqual([false, true, true, true, false]);
    expect(answers.size).toBe(6);
  });

  it('counts what was read meanwhile no more', () => {
    let left = 90;
    const answers = new BoundedAnswers({ totalBufferedBytes: 100 });
    const [slow] = added(answers, () => left);
    left = 20;
    const [late] = added(answers, 50);
    expect([slow?.isCut, late?.isCut]).toEqual([false, false]);
  });

  it('forgets what was removed, and does nothing the second time', () => {
    const answers = new BoundedAnswers({ totalBufferedBytes: 100 });
    const [first] = added(answers, 90) as [Answer];
    answers.add(first);
    answers.remove(first);
    answers.remove(first);
    const [next] = added(answers, 90);
    expect([first.isCut, next?.isCut, answers.size]).toEqual([false, false, 1]);
  });

  it('looks at each a few times only, however many there are', () => {
    const answers = new BoundedAnswers({ totalBufferedBytes: 1_000_000 });
    const all = added(answers, ...Array.from({ length: 20_000 }, () => 100));
    expect(all.filter(({ isCut }) => !isCut).length).toBeLessThanOrEqual(10_000);
    expect(Math.max(...all.map(({ looks }) => looks))).toBeLessThan(10);
  });
});
