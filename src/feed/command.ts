import { z } from 'zod';
import { contentOptions, jsonText } from './content.ts';
import { feedKind } from './feed.ts';
import { run } from './run.ts';

/**
 * What a command prints: JSON if it parses, otherwise text. It is started in the folder of the config
 * file, with our environment and nothing on standard input, and one at a time.
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
    ...contentOptions,
  }),
  create({ argv, maxBytes, pick }, { baseDirectory, clock }) {
    const name = JSON.stringify(argv[0]);
    let running = false;
    return {
      async read(_tick, signal) {
        if (running) throw new Error(`${name} is still running`);
        running = true;
        try {
          const output = await run({ argv, cwd: baseDirectory, maxBytes, clock }, signal);
          return jsonText(output, 'either', pick, `the output of ${name}`);
        } finally {
          running = false;
        }
      },
    };
  },
});
