import { expect, test } from 'vitest';
import { outcomeOf } from '../helpers/command.ts';

test.each([
  [['--prot', '80'], "error: unknown option '--prot'"],
  [['serve', '--port'], "error: option '--port <number>' argument missing"],
  [['serve', 'serve'], "error: too many arguments for 'serve'"],
  [['serv'], "error: unknown command 'serv': did you mean serve?"],
  [['chek', 'belfry.json'], "error: unknown command 'chek': did you mean check?"],
  [['start'], "error: unknown command 'start': write one of serve, check, explain, store, token, watch"],
  [['--port', '0', 'check'], 'error: the command comes first: write belfry check …'],
])('a flag or command that does not exist: %j', async (args, message) => {
  const { code, stdout, stderr } = await outcomeOf(args);
  expect(stderr[0]).toContain(message);
  expect(stdout).toEqual([]);
  expect(code).toBe(1);
});

test('--version prints the version of the package', async () => {
  expect((await outcomeOf(['--version'])).stdout).toEqual(['0.1.0']);
});
