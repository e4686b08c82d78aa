/** The memory twin of the disk: files and databases in one tree that survives its openers. */
import { assert, defined } from './assert.js';
import type { Disk } from './environment.js';
import type { Kv } from './kv.js';
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
  readonly #files = new Map<string, Uint8Array>();
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

  /** The next `writeFile` rejects with `error` and changes nothing. */
  failNextFileWrite(error: Error): void {
    this.#fileFailure = error;
  }

  /**
   * The machine loses power. Every open database keeps only the first `keepBatches` of its
   * unsynced batches, and its handle is dead; files under way are lost, others survive whole.
   */
  crash(keepBatches = 0): void {
    this.#crashes += 1;
    for (const kv of this.#open.values()) kv.crash(keepBatches);
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
    const bytes = this.#files.get(normalized(path));
    return bytes && new Uint8Array(bytes);
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const failure = this.#fileFailure;
    this.#fileFailure = undefined;
    if (failure) throw failure;
    const copy = new Uint8Array(bytes);
    const crashes = this.#crashes;
    await Promise.resolve();
    if (crashes !== this.#crashes) throw new Error('the machine crashed during a file write');
    this.#files.set(normalized(path), copy);
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

  *#places(): Iterable<string> {
    yield* this.#files.keys();
    yield* this.#directories;
    yield* this.#contents.keys();
  }
}
