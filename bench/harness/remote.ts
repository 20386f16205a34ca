import { type ChildProcess, fork } from 'node:child_process';

/** What a process can be asked for: functions of at most one argument. */
export type Calls = Readonly<Record<string, (argument: never) => unknown>>;

interface Call {
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly result?: unknown;
  readonly error?: Error;
}

/** A child process of the bench that answers calls, one at a time. */
export class Remote<Api extends Calls> {
  readonly child: ChildProcess;

  constructor(file: URL) {
    // Structured clones, so that typed arrays, errors and Infinity arrive as they are.
    this.child = fork(file, { execArgv: [], serialization: 'advanced' });
  }

  call<Name extends keyof Api & string>(
    name: Name,
    ...[argument]: Parameters<Api[Name]>
  ): Promise<Awaited<ReturnType<Api[Name]>>> {
    return new Promise((resolve, reject) => {
      const onExit = () => reject(new Error(`the process ended during ${name}`));
      this.child.once('exit', onExit);
      this.child.once('message', ({ result, error }: Answer) => {
        this.child.off('exit', onExit);
        if (error) reject(error);
        // Both sides are compiled from the same `Api`.
        else resolve(result as Awaited<ReturnType<Api[Name]>>);
      });
      this.child.send({ name, argument } satisfies Call);
    });
  }
}

/** The child's side: answers calls until the bench ends. */
export function serveCalls(api: Calls): void {
  process.on('message', async ({ name, argument }: Call) => {
    try {
      // Both sides are compiled from the same `Api`.
      process.send?.({ result: await api[name]?.(argument as never) } satisfies Answer);
    } catch (error) {
      process.send?.({ error: new Error(String(error)) } satisfies Answer);
    }
  });
  process.on('disconnect', () => process.exit());
}
