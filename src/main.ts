#!/usr/bin/env node
// No static import, and no syntax newer than Node 12: an old Node must get as far as this message,
// instead of ending with a syntax error. The version is that of package.json.
const [major, minor] = process.versions.node.split('.').map(Number) as [number, number]; // always three
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `Belfry needs Node 20.19 or newer, and this is Node ${process.versions.node}: install a newer one, for example from https://nodejs.org\n`,
  );
  process.exitCode = 1;
} else {
  void import('./cli/program.ts').then(({ main }) => main());
}
