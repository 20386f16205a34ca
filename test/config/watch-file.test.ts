import { execFileSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FileWatch } from '../../src/config/watch-file.ts';

let folder: string;
let path: string;
let watching: FileWatch | undefined;
/** What the file held at each call. */
let heard: string[];
let onHeard: () => void;
/** How often the file was missed. */
let vanished: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'belfry-watch-'));
  path = join(folder, 'belfry.json');
  heard = [];
  vanished = 0;
  onHeard = () => {};
});

afterEach(async () => {
  await watching?.close();
  watching = undefined;
  rmSync(folder, { recursive: true });
});

function start(content?: string): void {
  if (content !== undefined) writeFileSync(path, content);
  watching = new FileWatch(path, {
    onChange() {
      heard.push(statSync(path).isFIFO() ? 'a pipe' : readFileSync(path, 'utf8'));
      onHeard();
    },
    onVanished: () => vanished++,
  });
}

/** Resolves when the file was last heard of with this content. */
function hears(content: string): Promise<void> {
  return new Promise((resolve) => {
    onHeard = () => {
      if (heard.at(-1) === content) resolve();
    };
    onHeard();
  });
}

/** Resolves when a change beside the file was told to others, so that one before it had its time. */
async function othersHear(): Promise<void> {
  const beside = join(folder, 'beside');
  let other: FileWatch | undefined;
  await new Promise<void>((resolve) => {
    other = new FileWatch(beside, { onChange: resolve });
    writeFileSync(beside, `${Math.random()}`);
  });
  await other?.close();
}

it('tells of a file that is written anew', async () => {
  start('one');
  writeFileSync(path, 'two');
  await hears('two');
  writeFileSync(path, 'three');
  await hears('three');
  expect(heard).toEqual(['two', 'three']);
});

it('tells of a file that another one takes the place of, again and again', async () => {
  start('one');
  for (const content of ['two', 'three', 'four']) {
    writeFileSync(`${path}.new`, content);
    renameSync(`${path}.new`, path);
    await hears(content);
  }
  expect(heard).toEqual(['two', 'three', 'four']);
});

it('tells of a file that is moved away as a backup and written anew', async () => {
  start('one');
  renameSync(path, `${path}~`);
  writeFileSync(path, 'two');
  await hears('two');
  expect(heard).toEqual(['two']);
});

it('waits until a file is written to its end', async () => {
  start('one');
  writeFileSync(path, 'a');
  for (let count = 1; count < 200; count++) await appendFile(path, 'a');
  await hears('a'.repeat(200));
  expect(heard).toEqual(['a'.repeat(200)]);
});

it('says nothing while a file is away, and tells when it comes back as another one', async () => {
  start('one');
  rmSync(path);
  await othersHear();
  expect(heard).toEqual([]);
  writeFileSync(path, 'two');
  await hears('two');
  expect(heard).toEqual(['two']);
});

it('says once that a file is gone, and again when it went once more', async () => {
  start('one');
  rmSync(path);
  await vi.waitFor(() => expect(vanished).toBe(1), 5000);
  await othersHear();
  expect(vanished).toBe(1);
  writeFileSync(path, 'two');
  await hears('two');
  rmSync(path);
  await vi.waitFor(() => expect(vanished).toBe(2), 5000);
});

it('misses no file that another one takes the place of, nor one that was never there', async () => {
  start();
  await othersHear();
  writeFileSync(path, 'one');
  await hears('one');
  renameSync(path, `${path}~`);
  writeFileSync(path, 'two');
  await hears('two');
  expect(vanished).toBe(0);
});

it('tells of a file that was not there at first', async () => {
  start();
  writeFileSync(path, 'one');
  await hears('one');
  expect(heard).toEqual(['one']);
});

it('says nothing of a file that is only touched, nor twice of the same content', async () => {
  start('one');
  utimesSync(path, 1, 1);
  writeFileSync(path, 'two');
  await hears('two');
  utimesSync(path, 2, 2);
  await othersHear();
  rmSync(path);
  await othersHear();
  writeFileSync(path, 'two');
  await othersHear();
  writeFileSync(path, 'three');
  await hears('three');
  expect(heard).toEqual(['two', 'three']);
});

it('says nothing of other files beside it', async () => {
  start('one');
  writeFileSync(join(folder, 'belfry.json.swp'), 'x');
  writeFileSync(path, 'two');
  await hears('two');
  expect(heard).toEqual(['two']);
});

it('follows a link to what it leads to', async () => {
  const real = join(folder, 'real.json');
  writeFileSync(real, 'one');
  symlinkSync(real, path);
  start();
  writeFileSync(real, 'two');
  await hears('two');
  expect(heard).toEqual(['two']);
});

it('tells of what cannot be read in its place, without waiting for it', async () => {
  start('one');
  rmSync(path);
  execFileSync('mkfifo', [path]);
  await hears('a pipe');
  rmSync(path);
  writeFileSync(path, 'two');
  await hears('two');
  expect(heard).toEqual(['a pipe', 'two']);
  expect(vanished).toBe(0);
});

it('says nothing once it is closed', async () => {
  start('one');
  await watching?.close();
  writeFileSync(path, 'two');
  // Another watch of the same file hears of it.
  await new Promise<void>((resolve) => {
    start('three');
    writeFileSync(path, 'four');
    onHeard = resolve;
  });
  expect(heard).toEqual(['four']);
});
