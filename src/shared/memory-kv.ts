/**
 * The memory twin of the key-value database: the same semantics, no latency, and a crash on demand.
 *
 * What an open handle writes goes to a `MemoryKvContent`, which outlives the handle as files
 * outlive a process. Point reads cost O(1), a batch O(log n) per operation plus a move of the key
 * list, a scan O(range) when it starts, a snapshot O(n).
 */
import type { Kv, KvEntry, KvOperation, KvRange, KvSnapshot } from './kv.js';

const DEFAULT_PAGE_SIZE = 256;

/** What a batch replaced, so that a crash can take it back. */
interface UndoRecord {
  readonly key: string;
  readonly previous: Uint8Array | undefined;
}

/** Keys as Latin-1 strings: their order as strings is the order of the bytes. */
function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function bytesOf(text: string): Uint8Array {
  return copyOf(Buffer.from(text, 'latin1'));
}

/** Not `slice`, which on a Buffer is a view. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** The database's content with the unsynced batches as a suffix that a crash may lose. */
export class MemoryKvContent {
  readonly #values = new Map<string, Uint8Array>();
  readonly #keys: string[] = [];
  /** Oldest first; emptied up to a batch when that batch is synced. */
  #unsynced: UndoRecord[][] = [];

  /** Applies a batch; the returned mark names it to `markSynced`. */
  apply(operations: readonly KvOperation[]): object {
    const undo = operations.map((operation): UndoRecord => {
      const key = textOf(operation.key);
      const previous = this.#values.get(key);
      this.#set(key, operation.type === 'put' ? copyOf(operation.value) : undefined);
      return { key, previous };
    });
    this.#unsynced.push(undo);
    return undo;
  }

  /** The batch of `mark` and all before it survive a crash from now on. */
  markSynced(mark: object): void {
    this.#unsynced = this.#unsynced.slice(this.#unsynced.indexOf(mark as UndoRecord[]) + 1);
  }

  /** Loses all unsynced batches but the first `keepBatches`, the newest first. */
  crash(keepBatches: number): void {
    for (const undo of this.#unsynced.splice(keepBatches).reverse()) {
      for (const { key, previous } of undo.reverse()) this.#set(key, previous);
    }
    this.#unsynced = [];
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const value = this.#values.get(textOf(key));
    return value && copyOf(value);
  }

  /** All entries as they are now; values are never changed in place, so they are shared. */
  copy(): MemoryKvContent {
    const copy = new MemoryKvContent();
    for (const [key, value] of this.#values) copy.#values.set(key, value);
    for (const key of this.#keys) copy.#keys.push(key);
    return copy;
  }

  /** The entries of a range, as they are now. */
  entries(range: KvRange): { key: string; value: Uint8Array }[] {
    const first = this.#lowerBound(textOf(range.gte));
    const keys = this.#keys.slice(first, this.#lowerBound(textOf(range.lt)));
    if (range.reverse) keys.reverse();
    if (range.limit !== undefined) keys.length = Math.min(keys.length, Math.max(0, range.limit));
    return keys.map((key) => ({ key, value: this.#values.get(key) as Uint8Array }));
  }

  #set(key: string, value: Uint8Array | undefined): void {
    if (this.#values.has(key) !== (value !== undefined)) {
      const at = this.#lowerBound(key);
      if (value === undefined) this.#keys.splice(at, 1);
      else this.#keys.splice(at, 0, key);
    }
    if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, value);
  }

  /** Position of the first key that is not before `key`. */
  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One open handle. Tests make the next batch fail, or crash the machine under it. */
export class MemoryKv implements Kv {
  readonly #content: MemoryKvContent;
  readonly #onClose: () => void;
  #closed: Error | undefined;
  #failure: Error | undefined;

  constructor(content = new MemoryKvContent(), onClose: () => void = () => undefined) {
    this.#content = content;
    this.#onClose = onClose;
  }

  /** The next batch rejects with `error` and changes nothing; those after it succeed again. */
  failNextBatch(error: Error): void {
    this.#failure = error;
  }

  /**
   * The machine loses power: this handle is dead, and of the batches that were not synced (the
   * ones under way included) only the first `keepBatches` survive.
   */
  crash(keepBatches = 0): void {
    this.#closed = new Error('the machine crashed under this database');
    this.#content.crash(keepBatches);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.getSync(key);
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return this.#content.get(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return keys.map((key) => this.getSync(key));
  }

  async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    this.#assertOpen();
    if (operations.length === 0) return;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    const mark = this.#content.apply(operations);
    // A crash between here and the next turn finds the batch written and not yet synced.
    await Promise.resolve();
    if (this.#closed) throw this.#closed;
    if (options.sync) this.#content.markSynced(mark);
  }

  scan(range: KvRange, options: { pageSize?: number } = {}): AsyncIterable<KvEntry[]> {
    return this.#pages(this.#content, range, options);
  }

  snapshot(): KvSnapshot {
    this.#assertOpen();
    let pinned: MemoryKvContent | undefined = this.#content.copy();
    return {
      scan: (range, options = {}) => {
        if (pinned === undefined) throw new Error('the snapshot is closed');
        return this.#pages(pinned, range, options);
      },
      close: async () => {
        pinned = undefined;
      },
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = new Error('the database is closed');
    this.#onClose();
  }

  async *#pages(
    content: MemoryKvContent,
    range: KvRange,
    { pageSize = DEFAULT_PAGE_SIZE }: { pageSize?: number },
  ): AsyncGenerator<KvEntry[]> {
    this.#assertOpen();
    const entries = content.entries(range);
    for (let at = 0; at < entries.length; at += pageSize) {
      this.#assertOpen();
      const page = entries.slice(at, at + pageSize);
      yield page.map(({ key, value }) => ({ key: bytesOf(key), value: copyOf(value) }));
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw this.#closed;
  }
}
