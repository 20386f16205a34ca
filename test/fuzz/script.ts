import type { Random } from './cases.ts';
import { mutated } from './mutate.ts';

/** One thing that a client does. Bytes are written as strings of latin1, so that a step can be printed. */
export type Step =
  | { readonly say: string }
  /** Turns of the client's event loop in which it does nothing. */
  | { readonly turns: number }
  /** Waits for so many answers over HTTP and replies over WebSocket, counted from the beginning. */
  | { readonly answers: number; readonly replies: number }
  | { readonly reads: boolean }
  /** A request on a connection of its own, which is answered in any case. */
  | { readonly beside: string }
  | { readonly leaves: 'end' | 'reset' };

/** What one client does from connecting until it is gone. */
export interface Conversation {
  readonly steps: readonly Step[];
  /** Whether the client keeps every rule, so that the answers it waits for have to come. */
  readonly isSound: boolean;
}

const LONGEST_PAUSE_TURNS = 5;
const MOST_FRAGMENTS = 7;
/** A server may close behind any answer (RFC 9112, 9.3.2); so many that are pipelined it answers. */
const MOST_AHEAD = 16;
/** Up to this length bytes are also sent one by one. */
const SHORT_BYTES = 200;

/** Writes a conversation down step by step, and counts what the client is entitled to. */
export class Script {
  readonly #random: Random;
  readonly #steps: Step[] = [];
  readonly #mutates: boolean;
  #isSound: boolean;
  #answers = 0;
  #replies = 0;
  /** How many answers may be on their way that were not waited for. */
  #ahead = 0;
  /** Nothing more is due after this: the server ends the connection by itself, or may do so. */
  #isOver = false;

  constructor(random: Random, mutates: boolean) {
    this.#random = random;
    this.#mutates = mutates;
    this.#isSound = !mutates;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isAhead(): boolean {
    return this.#ahead > 0;
  }

  /** Sends bytes: in one piece, in several with pauses in between, or one by one. */
  say(bytes: Buffer): void {
    const random = this.#random;
    const sent = this.#mutates && random.below(2) === 0 ? mutated(bytes, random) : bytes;
    for (const [index, piece] of this.#pieces(sent).entries()) {
      if (index > 0 && random.below(3) > 0) this.pause();
      this.#steps.push({ say: piece.toString('latin1') });
    }
  }

  #pieces(bytes: Buffer): Buffer[] {
    const random = this.#random;
    const form = random.below(20);
    if (form < 10 || bytes.length < 2) return [bytes];
    if (form === 10 && bytes.length <= SHORT_BYTES) {
      return Array.from(bytes, (byte) => Buffer.from([byte]));
    }
    const cuts = Array.from({ length: 1 + random.below(MOST_FRAGMENTS - 1) }, () =>
      random.below(bytes.length),
    );
    const bounds = [0, ...cuts.sort((a, b) => a - b), bytes.length];
    return bounds.slice(1).map((end, index) => bytes.subarray(bounds[index], end));
  }

  pause(): void {
    this.#steps.push({ turns: 1 + this.#random.below(LONGEST_PAUSE_TURNS) });
  }

  /** So many answers are due for what is said next. */
  expectAnswers(count: number): void {
    if (this.#isOver) return;
    const due = Math.min(count, Math.max(MOST_AHEAD - this.#ahead, 0));
    this.#answers += due;
    this.#ahead += count;
    if (due < count) this.#isOver = true;
  }

  expectReplies(count: number): void {
    if (!this.#isOver) this.#replies += count;
  }

  /** The server ends the connection by itself after what was said so far. */
  over(): void {
    this.#isOver = true;
  }

  /** The client has broken a rule, or asked for what the server may refuse: nothing is due any more. */
  unsound(): void {
    this.#isSound = false;
    this.#isOver = true;
  }

  hear(): void {
    this.#steps.push({ answers: this.#answers, replies: this.#replies });
    this.#ahead = 0;
  }

  reads(reads: boolean): void {
    this.#steps.push({ reads });
  }

  beside(request: string): void {
    this.#steps.push({ beside: request });
  }

  leave(how: 'end' | 'reset'): Conversation {
    this.#steps.push({ leaves: how });
    return { steps: this.#steps, isSound: this.#isSound };
  }
}
