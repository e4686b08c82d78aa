/** The memory twin of the disk: files and databases in one tree that survives its openers. */
import { assert, defined } from './assert.js';
import type { Disk, DiskFile } from './environment.js';
import type { Kv } from './kv.js';
import { MemoryFile } from './memory-file.js';
import { MemoryKv, MemoryKvContent } from './memory-kv.js';

/** `/a//b/./c` and `a/b/c` are the same place. */
function normalized(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

function isBelow(path: string, parent: string): boolean {
  return parent === '' || path === parent || path.startsWith(`${parent}/`);
}

export class MemoryDisk implements Disk {
  readonly #files = new Map<string, MemoryFile>();
  readonly #directories = new Set<string>();
  readonly #contents = new Map<string, MemoryKvContent>();
  readonly #open = new Map<string, MemoryKv>();
  #fileFailure: Error | undefined;
  /** Grows with each crash: a file write that was under way when it came is lost. */
  #crashes = 0;

  /** What `space` answers. Tests change it. */
  freeBytes = 2 ** 40;

  /** The handle that is open at `path`, for its failure hooks. */
  kv(path: string): MemoryKv {
    return defined(this.#open.get(normalized(path)), `an open database at ${path}`);
  }

  /** The next write to a file, whole or in part, rejects with `error` and changes nothing. */
  failNextFileWrite(error: Error): void {
    this.#fileFailure = error;
  }

  /**
   * The machine loses power. Every open database keeps only the first `keepBatches` of its
   * unsynced batches, every file only as many of its unsynced writes; all handles are dead. Whole
   * files and renames that were under way are lost, those that had resolved survive.
   */
  crash(keepBatches = 0): void {
    this.#crashes += 1;
    for (const kv of this.#open.values()) kv.crash(keepBatches);
    for (const file of this.#files.values()) file.crash(keepBatches);
    this.#open.clear();
  }

  async openKv(path: string): Promise<Kv> {
    const place = normalized(path);
    assert(!this.#open.has(place), `the database ${path} is open already`);
    const content = this.#contents.get(place) ?? new MemoryKvContent();
    this.#contents.set(place, content);
    const kv = new MemoryKv(content, () => this.#open.delete(place));
    this.#open.set(place, kv);
    return kv;
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    const file = this.#files.get(normalized(path));
    return file?.read(0, file.sizeBytes);
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const file = new MemoryFile(bytes);
    await this.#fileWrite();
    this.#files.set(normalized(path), file);
  }

  async openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    const place = normalized(path);
    const found = this.#files.get(place);
    if (found === undefined && mode === 'read') throw new Error(`there is no file ${path}`);
    const file = found ?? new MemoryFile();
    this.#files.set(place, file);
    return this.#handleOf(file, mode);
  }

  async allocateFile(path: string, sizeBytes: number): Promise<void> {
    await this.#fileWrite();
    const place = normalized(path);
    const file = this.#files.get(place) ?? new MemoryFile();
    file.allocate(sizeBytes);
    this.#files.set(place, file);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#fileWrite();
    const file = this.#files.get(normalized(from));
    if (file === undefined) throw new Error(`there is no file ${from}`);
    this.#files.delete(normalized(from));
    this.#files.set(normalized(to), file);
  }

  async list(path: string): Promise<string[]> {
    const parent = normalized(path);
    const skip = parent === '' ? 0 : parent.length + 1;
    const names = new Set<string>();
    for (const place of this.#places()) {
      if (place !== parent && isBelow(place, parent)) {
        names.add(place.slice(skip).split('/', 1)[0] as string);
      }
    }
    return [...names].sort();
  }

  async makeDirectory(path: string): Promise<void> {
    this.#directories.add(normalized(path));
  }

  async remove(path: string): Promise<void> {
    const parent = normalized(path);
    for (const kind of [this.#files, this.#directories, this.#contents]) {
      for (const place of [...kind.keys()]) if (isBelow(place, parent)) kind.delete(place);
    }
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return { freeBytes: this.freeBytes, totalBytes: 2 ** 40 };
  }

  #handleOf(file: MemoryFile, mode: 'read' | 'write'): DiskFile {
    const crashes = this.#crashes;
    let isClosed = false;
    const assertUsable = (): void => {
      if (crashes !== this.#crashes) throw new Error('the machine crashed under this file');
      if (isClosed) throw new Error('the file is closed');
    };
    return {
      get sizeBytes(): number {
        return file.sizeBytes;
      },
      read: async (offset, lengthBytes) => {
        assertUsable();
        return file.read(offset, lengthBytes);
      },
      readInto: async (offset, target) => {
        assertUsable();
        return file.readInto(offset, target);
      },
      write: async (offset, bytes) => {
        assertUsable();
        assert(mode === 'write', 'the file is open for reading');
        this.#failOnDemand();
        file.write(offset, bytes);
        // A crash between here and the next turn finds the bytes written and not synced.
        await Promise.resolve();
        assertUsable();
      },
      sync: async () => {
        assertUsable();
        const mark = file.mark();
        await Promise.resolve();
        assertUsable();
        if (mark !== undefined) file.markSynced(mark);
      },
      close: async () => {
        isClosed = true;
      },
    };
  }

  /** What is done to a file as a whole is done a turn later, unless the machine crashes. */
  async #fileWrite(): Promise<void> {
    this.#failOnDemand();
    const crashes = this.#crashes;
    await Promise.resolve();
    if (crashes !== this.#crashes) throw new Error('the machine crashed during a file write');
  }

  #failOnDemand(): void {
    const failure = this.#fileFailure;
    this.#fileFailure = undefined;
    if (failure) throw failure;
  }

  *#places(): Iterable<string> {
    yield* this.#files.keys();
    yield* this.#directories;
    yield* this.#contents.keys();
  }
}
