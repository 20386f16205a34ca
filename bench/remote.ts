import { type ChildProcess, fork } from 'node:child_process';

/** What a process can be asked for: functions of at most one argument, results that survive JSON. */
export type Calls<Api> = { [Name in keyof Api]: (argument: never) => unknown };

interface Call {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Another process of the bench, by its calls. */
export class Remote<Api extends Calls<Api>> {
  readonly child: ChildProcess;
  readonly #open = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #count = 0;

  constructor(file: URL) {
    this.child = fork(file, { execArgv: [] });
    this.child.on('message', ({ id, result, error }: Answer) => {
      const call = this.#open.get(id);
      this.#open.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error));
    });
    this.child.on('exit', () => {
      for (const { reject } of this.#open.values()) reject(new Error(`${file.pathname} ended`));
    });
  }

  call<Name extends keyof Api & string>(
    name: Name,
    ...[argument]: Parameters<Api[Name]>
  ): Promise<Awaited<ReturnType<Api[Name]>>> {
    const id = this.#count++;
    return new Promise((resolve, reject) => {
      // Both sides are compiled from one type, and nothing but this answers.
      this.#open.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.child.send({ id, name, argument } satisfies Call);
    });
  }
}

/** The other end: answers calls until the bench goes. */
export function serveCalls<Api extends Calls<Api>>(api: Api): void {
  process.on('message', async ({ id, name, argument }: Call) => {
    // The caller is compiled from the same type.
    const perform = api[name as keyof Api] as unknown as (argument: unknown) => unknown;
    let answer: Answer;
    try {
      answer = { id, result: await perform(argument) };
    } catch (error) {
      answer = { id, error: String(error) };
    }
    process.send?.(answer);
  });
  process.on('disconnect', () => process.exit());
}
