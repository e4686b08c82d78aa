import { defined } from '../../../src/shared/assert.js';
import { utf8 } from '../../../src/shared/bytes.js';
import type { Disk, DiskFile } from '../../../src/shared/environment.js';
import type { Kv, KvEntry, KvRange } from '../../../src/shared/kv.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { SimClock } from './sim-clock.js';
import { BatchJournal, SimKv } from './sim-kv.js';
import type { SimRandom } from './sim-random.js';
import type { World } from './world.js';

export interface SimDiskOptions {
  /** Longest time that a sync takes; drawn evenly from 0. @default 20 */
  readonly syncMaxMs?: number;
  /** Longest time of a write that is not synced, and of reading a file. @default 1 */
  readonly writeMaxMs?: number;
  /** Longest time of a read or write of an open file whose path contains `within`. @default none */
  readonly slowFiles?: { readonly within: string; readonly maxMs: number };
  /** Keep what `loseMiddle` needs, for this many batches of a database. @default 0 */
  readonly journalBatches?: number;
}

/** What of a process's unsynced writes a crash takes away. */
export type CrashKind =
  /** kill -9: everything that the operating system was given survives. */
  | 'process'
  /** Power loss: of the unsynced batches of each database only a random prefix survives. */
  | 'machine';

/** A synced write is a write and a sync: either failure meets it. */
export type DiskOperation = 'read' | 'write' | 'sync';

const ALL_WRITES = Number.MAX_SAFE_INTEGER;
/** What LevelDB writes into its own log when it opens over damage in its write-ahead log. */
const DROPPED = utf8('(ignoring error) dropping 512 bytes; Corruption: checksum mismatch');
/** Longest run of neighbouring keys that damage takes. */
const LOST_KEYS_MAX = 8;

/**
 * The disk of one machine: it survives its processes, each of which opens a view of it.
 *
 * Semantics are those of the memory twins, plus time and faults. Batches of a database are atomic
 * and ordered; each takes effect when its promise resolves. Faults are off until they are asked
 * for, and behave as LevelDB was measured to: after one write error what is written through the
 * same handle is acknowledged, and lost in the next crash.
 */
export class SimDisk {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #options: Required<Omit<SimDiskOptions, 'slowFiles'>>;
  readonly #slowFiles: SimDiskOptions['slowFiles'];
  #content = new MemoryDisk();
  readonly #open = new Map<string, SimKv>();
  readonly #journals = new Map<string, BatchJournal>();
  /** Databases whose next open tells of lost records. */
  readonly #dropped = new Set<string>();
  /** Parts of paths, by what is to fail there. */
  readonly #failing: Record<DiskOperation, Set<string>> = {
    read: new Set(),
    write: new Set(),
    sync: new Set(),
  };
  /** How many operations met the error that `failNext` asked for. */
  readonly failures: Record<DiskOperation, number> = { read: 0, write: 0, sync: 0 };
  #isFull = false;
  #slowness = 1;
  /** Grows with each crash, so that what was under way knows that its process is gone. */
  #generation = 0;

  constructor(world: World, name: string, options: SimDiskOptions = {}) {
    this.#world = world;
    this.#random = world.fork(`disk ${name}`);
    const { slowFiles, ...times } = options;
    this.#options = { syncMaxMs: 20, writeMaxMs: 1, journalBatches: 0, ...times };
    this.#slowFiles = slowFiles;
  }

  /** The disk as a new process sees it, with latencies by the world's time. */
  view(clock: SimClock): Disk {
    return new SimDiskView(this, clock, this.#generation);
  }

  /** From now on writes fail with ENOSPC, until it is set back. */
  set isFull(full: boolean) {
    this.#isFull = full;
    this.#content.freeBytes = full ? 0 : 2 ** 40;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * The next such operation on a path that contains `within` fails with EIO; whether a batch got to
   * the disk, the seed decides. @default whatever comes first
   */
  failNext(operation: DiskOperation, within = ''): void {
    this.#failing[operation].add(within);
  }

  /** Takes back what has not failed yet. */
  failNone(): void {
    for (const paths of Object.values(this.#failing)) paths.clear();
  }

  /** Whether some operation of this kind is to fail. */
  isToFail(operation: DiskOperation): boolean {
    return this.#failing[operation].size > 0;
  }

  /** How much longer everything takes than drawn: 1 is normal. */
  set slowness(factor: number) {
    this.#slowness = factor;
  }

  /** The process, or the whole machine, is gone. Views of it do nothing any more. */
  crash(kind: CrashKind): void {
    this.#generation += 1;
    for (const kv of this.#open.values()) kv.crash(kind);
    this.#open.clear();
    this.#content.crash(kind === 'process' ? ALL_WRITES : this.#random.integer(0, 4));
  }

  /**
   * Loses a run of the last batches of a database, but neither the ones before nor the ones after:
   * what LevelDB makes of a flipped byte in its write-ahead log. Its next open says so in its own
   * log and nowhere else. Only while no process runs. Returns how many batches were lost. Needs
   * `journalBatches`.
   */
  async loseMiddle(path: string): Promise<number> {
    const journal = defined(this.#journals.get(path), `a journal of ${path}`);
    const { operations, lostBatches } = journal.revertRun(this.#random);
    if (lostBatches > 0) this.#dropped.add(path);
    await this.#atRest(path, (kv) => kv.batch(operations, { sync: true }));
    return lostBatches;
  }

  /**
   * Loses up to `LOST_KEYS_MAX` neighbouring keys of those that `isLive` takes, as a hidden block
   * of a table does. Only while no process runs. Returns how many there were.
   */
  loseKeys(path: string, range: KvRange, isLive = (_entry: KvEntry) => true): Promise<number> {
    return this.#atRest(path, async (kv) => {
      const live = (await entriesOf(kv, range)).filter(isLive);
      const first = this.#random.integer(0, Math.max(0, live.length - 1));
      const lost = live.slice(first, first + this.#random.integer(1, LOST_KEYS_MAX));
      await kv.batch(
        lost.map(({ key }) => ({ type: 'del', key })),
        { sync: true },
      );
      return lost.length;
    });
  }

  /**
   * Flips a bit of one value of those that `isLive` takes. Only while no process runs. Returns
   * whether there was one.
   */
  flipBit(path: string, range: KvRange, isLive = (_entry: KvEntry) => true): Promise<boolean> {
    return this.#atRest(path, async (kv) => {
      const live = (await entriesOf(kv, range)).filter(
        (entry) => entry.value.length > 0 && isLive(entry),
      );
      if (live.length === 0) return false;
      const { key, value } = this.#random.pick(live);
      const at = this.#random.integer(0, value.length - 1);
      value[at] = (value[at] as number) ^ (1 << this.#random.integer(0, 7));
      await kv.batch([{ type: 'put', key, value }], { sync: true });
      return true;
    });
  }

  /** The data directory is gone: an empty disk takes its place. Only while no process runs. */
  loseAll(): void {
    this.#content = new MemoryDisk();
    this.#content.freeBytes = this.#isFull ? 0 : 2 ** 40;
    this.#journals.clear();
    this.#dropped.clear();
  }

  get content(): MemoryDisk {
    return this.#content;
  }

  /** Paths of all databases, open or not. */
  get databases(): readonly string[] {
    return [...this.#journals.keys()];
  }

  /** Paths of the databases that a process has open. */
  get openDatabases(): readonly string[] {
    return [...this.#open.keys()];
  }

  async openKv(clock: SimClock, path: string): Promise<Kv> {
    await this.#beginLog(path);
    const inner = await this.#content.openKv(path);
    const memory = this.#content.kv(path);
    const journal = this.#journals.get(path) ?? new BatchJournal(this.#options.journalBatches);
    this.#journals.set(path, journal);
    const kv = new SimKv(inner, memory, {
      clock,
      random: this.#random,
      journal,
      nowMs: () => this.#world.nowMs,
      latencyMs: (isSynced) => this.latencyMs(isSynced),
      takeFailure: (operation) => this.takeFailure(operation, path),
      onClosed: () => this.#open.delete(path),
    });
    this.#open.set(path, kv);
    return kv;
  }

  latencyMs(isSynced: boolean): number {
    const { syncMaxMs, writeMaxMs } = this.#options;
    return this.#random.between(0, isSynced ? syncMaxMs : writeMaxMs) * this.#slowness;
  }

  /** Of a read or write of an open file. */
  fileLatencyMs(path: string): number {
    const { within, maxMs } = this.#slowFiles ?? { within: path, maxMs: this.#options.writeMaxMs };
    if (!path.includes(within)) return this.latencyMs(false);
    return this.#random.between(0, maxMs) * this.#slowness;
  }

  /** The error that an operation of this kind meets at a path, if any. */
  takeFailure(operation: DiskOperation, path: string): Error | undefined {
    if (this.#isFull && operation === 'write') {
      return diskError('ENOSPC', `no space left on device: ${path}`);
    }
    const failing = this.#failing[operation];
    const within = [...failing].find((part) => path.includes(part));
    if (within === undefined) return undefined;
    failing.delete(within);
    this.failures[operation]++;
    return diskError('EIO', `input/output error: ${path}`);
  }

  /** Removes files and databases at and below a path. */
  async remove(path: string): Promise<void> {
    await this.#content.remove(path);
    for (const place of this.databases) {
      if (place !== path && !place.startsWith(`${path}/`)) continue;
      this.#journals.delete(place);
      this.#dropped.delete(place);
    }
  }

  isCurrent(generation: number): boolean {
    return generation === this.#generation;
  }

  /** LevelDB keeps what it said at the open before as `LOG.old`, and begins anew. */
  async #beginLog(path: string): Promise<void> {
    const before = await this.#content.readFile(`${path}/LOG`);
    const isDropped = this.#dropped.delete(path);
    if (before === undefined && !isDropped) return;
    if (before !== undefined) await this.#content.writeFile(`${path}/LOG.old`, before);
    await this.#content.writeFile(`${path}/LOG`, isDropped ? DROPPED : new Uint8Array());
  }

  async #atRest<T>(path: string, change: (kv: Kv) => Promise<T>): Promise<T> {
    const kv = await this.#content.openKv(path);
    try {
      return await change(kv);
    } finally {
      await kv.close();
    }
  }
}

async function entriesOf(kv: Kv, range: KvRange): Promise<KvEntry[]> {
  const entries: KvEntry[] = [];
  for await (const page of kv.scan(range)) entries.push(...page);
  return entries;
}

/** One process's view: the same operations, each taking its time. */
class SimDiskView implements Disk {
  readonly #disk: SimDisk;
  readonly #clock: SimClock;
  readonly #generation: number;

  constructor(disk: SimDisk, clock: SimClock, generation: number) {
    this.#disk = disk;
    this.#clock = clock;
    this.#generation = generation;
  }

  openKv(path: string): Promise<Kv> {
    return this.#later(false, () => this.#disk.openKv(this.#clock, path));
  }

  readFile(path: string): Promise<Uint8Array | undefined> {
    return this.#later(false, () => {
      this.#failIfDue(path, 'read');
      return this.#disk.content.readFile(path);
    });
  }

  writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const copy = new Uint8Array(bytes);
    return this.#later(true, () => {
      this.#failIfDue(path, 'write', 'sync');
      return this.#disk.content.writeFile(path, copy);
    });
  }

  openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    return this.#later(false, async () => {
      const file = await this.#disk.content.openFile(path, mode);
      return {
        get sizeBytes(): number {
          return file.sizeBytes;
        },
        read: (offset, lengthBytes) =>
          this.#after(this.#disk.fileLatencyMs(path), () => {
            this.#failIfDue(path, 'read');
            return file.read(offset, lengthBytes);
          }),
        readInto: (offset, target) =>
          this.#after(this.#disk.fileLatencyMs(path), () => {
            this.#failIfDue(path, 'read');
            return file.readInto(offset, target);
          }),
        write: (offset, bytes) => {
          const copy = new Uint8Array(bytes);
          return this.#after(this.#disk.fileLatencyMs(path), () => {
            this.#failIfDue(path, 'write');
            return file.write(offset, copy);
          });
        },
        sync: () =>
          this.#later(true, () => {
            this.#failIfDue(path, 'sync');
            return file.sync();
          }),
        close: () => file.close(),
      };
    });
  }

  allocateFile(path: string, sizeBytes: number): Promise<void> {
    return this.#later(true, () => {
      this.#failIfDue(path, 'write', 'sync');
      return this.#disk.content.allocateFile(path, sizeBytes);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#later(true, () => {
      this.#failIfDue(to, 'sync');
      return this.#disk.content.rename(from, to);
    });
  }

  list(path: string): Promise<string[]> {
    return this.#later(false, () => this.#disk.content.list(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#later(false, () => this.#disk.content.makeDirectory(path));
  }

  remove(path: string): Promise<void> {
    return this.#later(false, () => this.#disk.remove(path));
  }

  space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.#later(false, () => this.#disk.content.space());
  }

  #failIfDue(path: string, ...operations: readonly DiskOperation[]): void {
    for (const operation of operations) {
      const failure = this.#disk.takeFailure(operation, path);
      if (failure !== undefined) throw failure;
    }
  }

  /** Does `work` when the disk gets to it; never, if the process is gone by then. */
  #later<T>(isSynced: boolean, work: () => Promise<T>): Promise<T> {
    return this.#after(this.#disk.latencyMs(isSynced), work);
  }

  #after<T>(latencyMs: number, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#clock.whenRunning(latencyMs, () => {
        if (!this.#disk.isCurrent(this.#generation)) return;
        try {
          work().then(resolve, reject);
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}

export function diskError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
