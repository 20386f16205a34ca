import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

/**
 * Where a program that a test needs is installed; `undefined`, with a notice, where it is not: such
 * tests are skipped. A tool named in `BELFRY_REQUIRE` (`chromium,redis,nginx`) must be there.
 */
export function requireTool(name: string, program = name): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  if ((process.env.BELFRY_REQUIRE ?? '').split(',').includes(name))
    throw new Error(`${name} is required by BELFRY_REQUIRE, and there is no ${program} on the PATH`);
  process.stderr.write(`skipping tests that need ${name}: there is no ${program} on the PATH\n`);
  return undefined;
}

export const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts a browser; the caller closes it. */
export function launchBrowser(executablePath: string, flags: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
}
