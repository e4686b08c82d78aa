/** The key-value database on disk: LevelDB through `level`. The only file that imports it. */
import type { Level } from 'level';
import { FlotillaError } from '../shared/errors.js';
import type { Kv, KvEntry, KvOperation, KvOptions, KvRange, KvSnapshot } from '../shared/kv.js';
import { INSTALL_COMMAND, nativeLibraryMissing } from '../shared/native-library.js';

const MEBIBYTE = 1024 * 1024;
const DEFAULT_PAGE_SIZE = 256;
/** LevelDB hands out at most this much of a scan at a time, whatever the page size. */
const PAGE_SIZE_MAX_BYTES = MEBIBYTE;

type Database = Level<Uint8Array, Uint8Array>;

/** The binding returns Buffers, whose `slice` is a view; callers are promised plain arrays. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function plainOrAbsent(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && plain(bytes);
}

/** Not at import: the package is an optional one (ADR 20). Rejects with NATIVE_LIBRARY_MISSING. */
export async function loadLevel(): Promise<typeof Level> {
  try {
    return (await import('level')).Level;
  } catch (thrown) {
    const isAbsent =
      thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_MODULE_NOT_FOUND';
    throw isAbsent
      ? nativeLibraryMissing('level', 'is not installed', INSTALL_COMMAND, thrown)
      : nativeLibraryMissing('level', 'cannot be loaded', 'npm rebuild classic-level', thrown);
  }
}

/** LevelDB's reason for not opening, told apart by what the operator has to do about it. */
function openError(path: string, thrown: unknown): unknown {
  const reason = thrown instanceof Error ? thrown.cause : undefined;
  if (!(reason instanceof Error) || !('code' in reason)) return thrown;
  const message = `the database ${path} does not open: ${reason.message}`;
  const options = { cause: thrown };
  if (reason.code === 'LEVEL_LOCKED') return new FlotillaError('NODE_NOT_READY', message, options);
  // The directory is there; a file that is not is one that LevelDB's own records name.
  const damaged = reason.code === 'LEVEL_CORRUPTION' || /no such file/i.test(reason.message);
  return damaged ? new FlotillaError('LOG_DAMAGED', message, options) : new Error(message, options);
}

/** Damage that LevelDB meets while it reads or compacts is told apart from a disk that fails. */
function useError(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || !('code' in thrown)) return thrown;
  if (thrown.code !== 'LEVEL_CORRUPTION') return thrown;
  const message = `the database has lost records: ${thrown.message}`;
  return new FlotillaError('LOG_DAMAGED', message, { cause: thrown });
}

/** Runs an operation of the database; rejects with LOG_DAMAGED where that meets damage. */
async function guarded<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (thrown) {
    throw useError(thrown);
  }
}

/**
 * LevelDB opens without an error when its log file is damaged or missing, and drops what it cannot
 * read: whoever stores what must not be lost checks its own records. After a failed write, close.
 */
export class LevelKv implements Kv {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Opens the database, and creates it where there is none. Rejects with NODE_NOT_READY when it is
   * open elsewhere, with LOG_DAMAGED when LevelDB itself finds a file damaged or missing, and with
   * NATIVE_LIBRARY_MISSING where the library is not installed.
   */
  static async open(path: string, options: KvOptions = {}): Promise<LevelKv> {
    const LevelDatabase = await loadLevel();
    const database: Database = new LevelDatabase(path, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      compression: false,
      cacheSize: options.cacheSizeBytes ?? 8 * MEBIBYTE,
      writeBufferSize: options.writeBufferSizeBytes ?? 4 * MEBIBYTE,
    });
    try {
      await database.open();
    } catch (thrown) {
      throw openError(path, thrown);
    }
    return new LevelKv(database);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return plainOrAbsent(await guarded(this.#database.get(key)));
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    try {
      return plainOrAbsent(this.#database.getSync(key));
    } catch (thrown) {
      throw useError(thrown);
    }
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const values: (Uint8Array | undefined)[] = await guarded(this.#database.getMany([...keys]));
    return values.map(plainOrAbsent);
  }

  async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    // One by one: of an array the library copies each with all its options, which takes four times
    // as long.
    const batch = this.#database.batch();
    for (const operation of operations) {
      if (operation.type === 'put') batch.put(operation.key, operation.value);
      else batch.del(operation.key);
    }
    await guarded(batch.write({ sync: options.sync }));
  }

  scan(range: KvRange, options: { pageSize?: number } = {}): AsyncIterable<KvEntry[]> {
    return scanPages(this.#database, range, options);
  }

  snapshot(): KvSnapshot {
    const pinned = this.#database.snapshot();
    return {
      scan: (range, options = {}) => {
        return scanPages(this.#database, range, { ...options, snapshot: pinned });
      },
      close: () => pinned.close(),
    };
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

interface ScanOptions {
  readonly pageSize?: number;
  /** @default one that is taken when iteration starts */
  readonly snapshot?: ReturnType<Database['snapshot']>;
}

async function* scanPages(
  database: Database,
  range: KvRange,
  { pageSize = DEFAULT_PAGE_SIZE, snapshot }: ScanOptions,
): AsyncGenerator<KvEntry[]> {
  const iterator = database.iterator({
    gte: range.gte,
    lt: range.lt,
    reverse: range.reverse ?? false,
    limit: range.limit ?? -1,
    highWaterMarkBytes: PAGE_SIZE_MAX_BYTES,
    ...(snapshot !== undefined && { snapshot }),
  });
  try {
    for (;;) {
      const page = await guarded(iterator.nextv(pageSize));
      if (page.length === 0) return;
      yield page.map(([key, value]) => ({ key: plain(key), value: plain(value) }));
    }
  } finally {
    await iterator.close();
  }
}
