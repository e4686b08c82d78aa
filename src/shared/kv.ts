/** The ordered key-value database that the log store and the point store are written against. */

export type KvOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

/** Half-open range of keys in byte order: `gte <= key < lt`. */
export interface KvRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
  /** At most this many entries. @default no limit */
  readonly limit?: number;
}

export interface KvEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface KvOptions {
  /** @default 8 MiB */
  readonly cacheSizeBytes?: number;
  /** Size of the in-memory table before it is written out. @default 4 MiB */
  readonly writeBufferSizeBytes?: number;
}

/** The database as it was when the snapshot was taken, whatever is written since. */
export interface KvSnapshot {
  /** Pages of entries in key order, as `Kv.scan`. */
  scan(range: KvRange, options?: { pageSize?: number }): AsyncIterable<KvEntry[]>;
  /** To be called when it is no longer needed: it keeps old data alive. Idempotent. */
  close(): Promise<void>;
}

/**
 * An ordered key-value database on one directory.
 *
 * Batches are atomic and ordered. With `sync` a batch is on disk when the promise resolves. What
 * was not synced may be lost when the machine crashes: mostly a suffix, but where the database had
 * begun a new file, also batches before one that survives. Who depends on more has to check.
 * Returned arrays belong to the caller.
 */
export interface Kv {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Blocks the thread for the read: microseconds when cached, a disk access when not. */
  getSync(key: Uint8Array): Uint8Array | undefined;
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void>;
  /** Pages of entries in key order, over a snapshot taken when iteration starts. */
  scan(range: KvRange, options?: { pageSize?: number }): AsyncIterable<KvEntry[]>;
  /** Pinned in the call: has every batch that has resolved, and none that is begun later. */
  snapshot(): KvSnapshot;
  /** Closes snapshots and scans too. Idempotent. */
  close(): Promise<void>;
}
