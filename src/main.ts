#!/usr/bin/env node
// Without a static import, and in words that Node 12 reads: an old one has to come as far as the
// message, instead of stumbling over what it does not know. The version is that of package.json.
const [major, minor] = process.versions.node.split('.').map(Number) as [number, number]; // always three
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `Belfry needs Node 20.19 or newer, and this is Node ${process.versions.node}: install a newer one, for example from https://nodejs.org\n`,
  );
  process.exitCode = 1;
} else {
  void import('./command-line.ts');
}
