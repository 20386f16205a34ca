import { z } from 'zod';
import { contentOptions, jsonText } from './content.ts';
import { commandEnvironment, ENVIRONMENT_NAMES, isEnvironmentName } from './environment.ts';
import { feedKind } from './feed.ts';
import { FeedError } from './reason.ts';
import { run } from './run.ts';

/**
 * What a command prints: JSON if it parses, otherwise text. It is started in the folder of the config
 * file, with a small environment and nothing on standard input, and one at a time.
 */
export const commandFeed = feedKind({
  type: 'command',
  description: 'What a command prints on standard output.',
  options: z.object({
    argv: z
      .array(z.string().refine((word) => !word.includes('\0'), { error: 'holds a NUL character' }))
      .refine(([command]) => command !== undefined && command !== '', {
        error: 'names no command: write a list such as ["df", "--output=pcent", "/"]',
      })
      .describe('The command and its arguments. No shell reads them: no quotes, no pipes, no *.'),
    env: z
      .record(z.string(), z.string())
      .superRefine((env, context) => {
        for (const [name, value] of Object.entries(env)) {
          const message = variableFault(name, value);
          if (message) context.addIssue({ code: 'custom', path: [name], message });
        }
      })
      .optional()
      .describe(
        `Environment variables for the command; a secret is written as a dollar sign and {NAME}. Of the server's own it has ${ENVIRONMENT_NAMES} only.`,
      ),
    ...contentOptions,
  }),
  create({ argv, env: passed, maxBytes, pick }, { baseDirectory, clock, env: own }) {
    const name = JSON.stringify(argv[0]);
    const env = { ...commandEnvironment(own), ...passed };
    let running = false;
    return {
      async read(_tick, signal) {
        if (running) throw new FeedError('timeout', `${name} is still running`);
        running = true;
        try {
          const output = await run({ argv, cwd: baseDirectory, env, maxBytes, clock }, signal);
          return jsonText(output, 'either', pick, `the output of ${name}`);
        } finally {
          running = false;
        }
      },
    };
  },
});

/** What is wrong with a variable, without its value: that may be a secret. */
function variableFault(name: string, value: string): string | undefined {
  if (!isEnvironmentName(name))
    return `${JSON.stringify(name)} is not the name of an environment variable: write letters, digits and _, not starting with a digit`;
  if (value.includes('\0')) return 'holds a NUL character, which no environment variable can have';
  return undefined;
}
