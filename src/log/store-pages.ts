import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextIteration } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { CHECKSUM_BYTES } from './sealed.ts';

// The layout of an LMDB file, version 2, as in mdb.c of the package lmdb; numbers are little-endian there as
// on all machines that the package has binaries for.

/** Of each page: its number, transaction, padding, flags, and the bounds of its free space. */
const HEADER_BYTES = 24;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const BRANCH = 1;
const LEAF = 2;
const OVERFLOW = 4;
/** Of a value: it is on pages of its own; it describes a table. */
const IS_BIG = 1;
const IS_TABLE = 2;
const TABLE_BYTES = 48;
/** The root of a table that is empty. */
const NO_PAGE = 2n ** 64n - 1n;
const MAX_DEPTH = 32;

/** Tables whose values are sealed; the root table too, but for those that describe tables. */
const SEALED_TABLES: ReadonlySet<string> = new Set(['', 'messages', 'records']);

export interface StoreMeta {
  readonly pageSize: number;
  /** Pages that the file has, whether they hold something or not. */
  readonly pages: number;
  readonly trees: readonly Tree[];
}

/** A table, or LMDB's own list of free pages. */
interface Tree {
  /** Empty: the root table. */
  readonly name: string;
  readonly root: bigint;
  readonly entries: number;
}

/** A page that is to be checked. */
interface Step {
  readonly tree: Tree;
  readonly page: number;
  readonly depth: number;
}

export interface PagesReport {
  /** `undefined`: no damage was found. */
  readonly damage: string | undefined;
  /** False: time was over before all of it was checked. */
  readonly isWhole: boolean;
  /** Values of each table. */
  readonly entries: ReadonlyMap<string, number>;
  readonly bytes: number;
}

/** After so long checking waits for the next iteration of the event loop. */
const SLICE_MS = 5;

class Damage extends Error {}

/**
 * Checks a file of LMDB page by page, by reading it: LMDB itself maps it into memory, follows any number that it
 * finds there, and takes the process with it where the number is wrong or the page is missing. The upper pages
 * of the trees come first, so that a part of the time finds the worst damage. Nobody may write to the file.
 */
export async function checkPages(path: string, maxMs: number): Promise<PagesReport> {
  const fd = openSync(path, 'r');
  try {
    return await new PageCheck(fd, maxMs).run();
  } finally {
    closeSync(fd);
  }
}

/** The newest of the two heads. Throws where the file is none of LMDB's. */
export function metaOf(fd: number): StoreMeta {
  const head = Buffer.alloc(256);
  const metas = [0, 1].map((number) => {
    // The size of a page is in the first one.
    const pageSize = number === 0 ? 0 : head.readUInt32LE(HEADER_BYTES + 24);
    const meta = Buffer.alloc(256);
    if (readSync(fd, meta, 0, 256, pageSize) < 256) throw new Damage('the file is too short');
    if (meta.readUInt32LE(HEADER_BYTES) !== MAGIC)
      throw new Damage(`page ${number} is not the head of an LMDB file`);
    if (number === 0) meta.copy(head);
    return meta;
  });
  const found = metas.map((meta, number) => {
    const at = HEADER_BYTES;
    const version = meta.readUInt32LE(at + 4);
    if (version !== VERSION) throw new Damage(`its LMDB version is ${version}, and this reads ${VERSION}`);
    const pageSize = meta.readUInt32LE(at + 24);
    if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0)
      throw new Damage(`page ${number} says that a page has ${pageSize} bytes`);
    const trees = ['free', ''].map((name, index) => treeAt(meta, at + 24 + index * TABLE_BYTES, name));
    const lastPage = Number(meta.readBigUInt64LE(at + 24 + 2 * TABLE_BYTES));
    const transaction = meta.readBigUInt64LE(at + 32 + 2 * TABLE_BYTES);
    return { pageSize, pages: lastPage + 1, trees, transaction };
  });
  const [first, second] = found;
  if (!first || !second || first.pageSize !== second.pageSize) throw new Damage('its two heads differ');
  return first.transaction > second.transaction ? first : second;
}

function treeAt(page: Buffer, at: number, name: string): Tree {
  return { name, entries: Number(page.readBigUInt64LE(at + 32)), root: page.readBigUInt64LE(at + 40) };
}

class PageCheck {
  readonly #fd: number;
  readonly #endsAtMs: number;
  readonly #size: number;
  readonly #entries = new Map<string, number>();
  readonly #trees: Tree[] = [];
  #meta: StoreMeta = { pageSize: 4096, pages: 0, trees: [] };
  #seen = new Uint8Array();
  #page = Buffer.alloc(0);

  constructor(fd: number, maxMs: number) {
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
    this.#endsAtMs = performance.now() + maxMs;
  }

  async run(): Promise<PagesReport> {
    let damage: string | undefined;
    let isWhole = false;
    try {
      isWhole = await this.#walk();
      if (isWhole) this.#compareCounts();
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      damage = error.message;
    }
    return { damage, isWhole, entries: this.#entries, bytes: this.#size };
  }

  async #walk(): Promise<boolean> {
    this.#meta = metaOf(this.#fd);
    const { pageSize, pages, trees } = this.#meta;
    if (pages < 2 || pages > 2 ** 40 / pageSize) throw new Damage(`it says that it has ${pages} pages`);
    // Free pages at the end may never have been written, so a file that is short may be whole: all is checked.
    const endsAtMs = this.#size < pages * pageSize ? Number.POSITIVE_INFINITY : this.#endsAtMs;
    this.#seen = new Uint8Array(pages);
    this.#page = Buffer.alloc(pageSize);
    const steps: Step[] = trees.flatMap((tree) => this.#begin(tree));
    let sliceEndsAtMs = performance.now() + SLICE_MS;
    for (let next = 0; next < steps.length; next++) {
      const step = steps[next];
      if (step) steps.push(...this.#check(step));
      const now = performance.now();
      if (now > endsAtMs) return next === steps.length - 1;
      if (now < sliceEndsAtMs) continue;
      await nextIteration();
      sliceEndsAtMs = performance.now() + SLICE_MS;
    }
    return true;
  }

  #begin(tree: Tree): Step[] {
    this.#trees.push(tree);
    return tree.root === NO_PAGE ? [] : [{ tree, page: Number(tree.root), depth: 1 }];
  }

  /** Checks a page; returns the pages below it. */
  #check({ tree, page, depth }: Step): Step[] {
    const { pageSize } = this.#meta;
    const flags = this.#read(page, 1);
    const bytes = this.#page;
    const isLeaf = flags === LEAF;
    if ((!isLeaf && flags !== BRANCH) || depth > MAX_DEPTH) throw damaged(page);
    // Both count from the end of the header.
    const lower = bytes.readUInt16LE(20);
    const upper = bytes.readUInt16LE(22);
    if (lower > upper || upper > pageSize - HEADER_BYTES || lower % 2 !== 0) throw damaged(page);
    const steps: Step[] = [];
    const nodes = this.#nodes(page, lower, upper);
    if (isLeaf) {
      this.#entries.set(tree.name, (this.#entries.get(tree.name) ?? 0) + nodes.length);
      for (const node of nodes) steps.push(...this.#checkValue(tree, page, node));
    } else {
      for (const node of nodes) steps.push({ tree, page: childOf(bytes, node), depth: depth + 1 });
    }
    if (tree.name !== 'free') this.#checkOrder(page, nodes, isLeaf);
    return steps;
  }

  /** Where the nodes of a page are. */
  #nodes(page: number, lower: number, upper: number): number[] {
    const bytes = this.#page;
    const nodes: number[] = [];
    for (let at = 0; at < lower; at += 2) {
      const node = bytes.readUInt16LE(HEADER_BYTES + at) + HEADER_BYTES;
      const isInside = node >= HEADER_BYTES + upper && node + 8 <= bytes.length;
      if (!isInside || node + 8 + keyBytes(bytes, node) > bytes.length) throw damaged(page);
      nodes.push(node);
    }
    return nodes;
  }

  /** The first key of a branch counts for nothing. */
  #checkOrder(page: number, nodes: readonly number[], isLeaf: boolean): void {
    let previous: Buffer | undefined;
    for (const node of isLeaf ? nodes : nodes.slice(1)) {
      const key = this.#page.subarray(node + 8, node + 8 + keyBytes(this.#page, node));
      if (previous && Buffer.compare(previous, key) >= 0) throw damaged(page);
      previous = key;
    }
  }

  #checkValue(tree: Tree, page: number, node: number): Step[] {
    const bytes = this.#page;
    const flags = bytes.readUInt16LE(node + 4);
    const at = node + 8 + keyBytes(bytes, node);
    const length = bytes.readUInt32LE(node);
    const isBig = (flags & IS_BIG) !== 0;
    if (at + (isBig ? 8 : length) > bytes.length) throw damaged(page);
    const key = bytes.subarray(node + 8, at);
    if ((flags & IS_TABLE) !== 0) {
      if (tree.name !== '' || length !== TABLE_BYTES) throw damaged(page);
      return this.#begin(treeAt(bytes, at, key.toString('latin1').replaceAll('\0', '')));
    }
    if (!isBig) this.#checkSum(tree, page, bytes.subarray(at, at + length));
    else this.#checkBig(tree, Number(bytes.readBigUInt64LE(at)), length);
    return [];
  }

  #checkBig(tree: Tree, page: number, length: number): void {
    const { pageSize } = this.#meta;
    const leaf = this.#page;
    const count = Math.ceil((HEADER_BYTES + length) / pageSize);
    this.#page = Buffer.alloc(count * pageSize);
    if (this.#read(page, count) !== OVERFLOW) throw damaged(page);
    if (this.#page.readUInt32LE(20) < count) throw damaged(page);
    this.#checkSum(tree, page, this.#page.subarray(HEADER_BYTES, HEADER_BYTES + length));
    this.#page = leaf;
  }

  #checkSum({ name }: Tree, page: number, value: Buffer): void {
    if (!SEALED_TABLES.has(name)) return;
    const isSealed = value.length >= CHECKSUM_BYTES;
    if (!isSealed || crc32(value.subarray(CHECKSUM_BYTES)) !== value.readUInt32LE(0)) throw damaged(page);
  }

  /** Reads pages, each only once; returns the flags of the first. */
  #read(page: number, count: number): number {
    const { pageSize, pages } = this.#meta;
    if (page < 2 || page + count > pages)
      throw new Damage(`a page refers to page ${page}, which there is not`);
    if (this.#seen[page]) throw new Damage(`two pages refer to page ${page}`);
    this.#seen.fill(1, page, page + count);
    const length = readSync(this.#fd, this.#page, 0, count * pageSize, page * pageSize);
    if (length < count * pageSize) throw new Damage(`the file ends before page ${page + count}`);
    if (Number(this.#page.readBigUInt64LE(0)) !== page) throw damaged(page);
    return this.#page.readUInt16LE(18);
  }

  #compareCounts(): void {
    for (const { name, entries } of this.#trees) {
      const found = this.#entries.get(name) ?? 0;
      if (found !== entries)
        throw new Damage(`the table "${name}" has ${found} entries, and should have ${entries}`);
    }
  }
}

function keyBytes(page: Buffer, node: number): number {
  return page.readUInt16LE(node + 6);
}

function childOf(page: Buffer, node: number): number {
  return page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 2 ** 32;
}

function damaged(page: number): Damage {
  return new Damage(`page ${page} is damaged`);
}
