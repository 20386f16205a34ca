import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { suggest } from '../config/suggest.ts';
import type { ExplainFlags } from './check.ts';
import { CommandError, DEFAULT_URL, EXIT_FAILED, type Terminal } from './command.ts';
import type { ServeFlags } from './serve.ts';
import type { StoreFlags } from './store.ts';
import type { AdminTokenFlags, SubscriberTokenFlags } from './token.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** The command line of this process. Resolves when its command is over; a server runs on then. */
export async function main(): Promise<void> {
  process.stdout.on('error', onOutputError);
  // Where standard error is closed as well, there is nothing left to report it on.
  process.stderr.on('error', () => {});
  const exitCode = await run(process.argv.slice(2), process);
  // Not by `process.exit`, which does not wait until a slow reader has all of the output.
  if (exitCode !== 0) process.exitCode = exitCode;
}

/**
 * Runs the command that the arguments name and resolves to its exit code. `serve` and `watch` belong to
 * the process, whatever the terminal: they handle its signals and end it.
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await commands(terminal).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    // What was wrong with the arguments commander has printed.
    if (error instanceof CommanderError) return error.exitCode;
    if (!(error instanceof CommandError)) throw error;
    terminal.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
}

/** Each command imports what it runs: the libraries of a server take longer to load than `watch` to connect. */
function commands(terminal: Terminal): Command {
  const program = new Command('belfry')
    .description('Pushes the time, or any other feed, to every room on a schedule.')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
    });
  program
    .command('serve', { isDefault: true })
    .description('run the server')
    .option('-c, --config <file>', 'the configuration (default: ./belfry.json, else a built-in one)')
    .option('--host <address>', 'the address to listen on')
    .option('--port <number>', 'the port to listen on')
    .allowExcessArguments() // `refuseWords` says more of them than commander does.
    .action(async (flags: ServeFlags, { args }: Command) => {
      refuseWords(program, args);
      process.stdout.off('error', onOutputError);
      const { serve } = await import('./serve.ts');
      await serve(flags, terminal);
    });
  program
    .command('check [file]')
    .description("check a configuration: its faults, or each schedule's next five runs")
    .action(async (file?: string) => (await import('./check.ts')).check(file, terminal));
  program
    .command('explain <schedule>')
    .description('tell when a schedule runs, and what daylight saving does to it')
    .option('-c, --config <file>', 'the configuration (default: ./belfry.json, else a built-in one)')
    .option('--from <instant>', 'an RFC 3339 instant (default: now)')
    .option('--count <number>', 'how many runs', '10')
    .action(async (schedule: string, flags: ExplainFlags) => {
      const { explain } = await import('./check.ts');
      await explain(schedule, flags, terminal);
    });
  storeCommands(program.command('store').description('look after the messages on disk'), terminal);
  tokenCommands(program.command('token').description('make a token'), terminal);
  program
    .command('watch [url]')
    .description(`show what a room sends; lines typed are published (default: ${DEFAULT_URL})`)
    .option('--json', 'print each object as it came, one on a line')
    .action(async (url: string | undefined, { json = false }: { json?: boolean }) => {
      // `watch` reports such errors itself; more of them may follow after it has ended.
      process.stdout.off('error', onOutputError).on('error', () => {});
      const { watchUntilSignal } = await import('./watch.ts');
      process.exit(await watchUntilSignal(url ?? DEFAULT_URL, json));
    });
  return program;
}

function storeCommands(store: Command, terminal: Terminal): void {
  const add = (usage: string, description: string) =>
    store
      .command(usage)
      .description(description)
      .option('-c, --config <file>', 'the configuration that names the store (default: as for serve)')
      .option('--path <folder>', 'the folder of the store, instead of a configuration');
  add('check', 'read all of it and tell whether it is in order; no server may use it').action(
    async (flags: StoreFlags) => (await import('./store.ts')).storeCheck(flags, terminal),
  );
  add('compact', 'give disk space back that is not used any more; no server may use it').action(
    async (flags: StoreFlags) => (await import('./store.ts')).storeCompact(flags, terminal),
  );
  add('backup <folder>', 'copy it into another folder, also while a server uses it').action(
    async (folder: string, flags: StoreFlags) =>
      (await import('./store.ts')).storeBackup(folder, flags, terminal),
  );
}

function tokenCommands(token: Command, terminal: Terminal): void {
  token
    .command('admin')
    .description('make a token of the admin API, and its entry for the configuration')
    .option('--name <name>', 'whose token it is, for the log (default: the role)')
    .option('--role <role>', 'viewer, operator or publisher', 'operator')
    .option('--rooms <patterns...>', 'of a publisher: the rooms that it may send to')
    .action(async (flags: AdminTokenFlags) => (await import('./token.ts')).adminToken(flags, terminal));
  token
    .command('subscriber')
    .description('sign a token of a listener')
    .option('--sub <user>', 'its user')
    .option('--rooms <patterns...>', 'the rooms that it may listen in, of those that need a token')
    .option('--publish <patterns...>', 'the rooms that it may publish in')
    .option('--ttl <duration>', 'how long it is valid', '1h')
    .option('--key <file>', 'a private key, PEM or JWK (default: the secret that the configuration names)')
    .option('--kid <id>', 'the id of the key, where the server fetches keys')
    .option('-c, --config <file>', 'the configuration with "access" (default: as for serve)')
    .action(async (flags: SubscriberTokenFlags) =>
      (await import('./token.ts')).subscriberToken(flags, terminal),
    );
}

/** A closed pipe, as in `check | head -1`, is no fault: the result holds all the same. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE' || process.exitCode === EXIT_FAILED) return;
  process.stderr.write(`standard output cannot be written: ${error.code ?? error.message}\n`);
  process.exitCode = EXIT_FAILED;
}

/** `serve` is what runs where no command is named, so that a misspelt command comes here as well. */
function refuseWords(program: Command, words: readonly string[]): void {
  const [word] = words;
  if (word === undefined) return;
  if (program.args[0] === 'serve') {
    program.error(`error: too many arguments for 'serve'. Expected 0 arguments but got ${words.length}.`);
  }
  const names = program.commands.map((command) => command.name());
  if (names.includes(word)) program.error(`error: the command comes first: write belfry ${word} …`);
  const meant = suggest(word, names);
  const hint = meant === undefined ? `write one of ${names.join(', ')}` : `did you mean ${meant}?`;
  program.error(`error: unknown command '${word}': ${hint}`);
}
