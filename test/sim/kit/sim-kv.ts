import type { Kv, KvEntry, KvOperation, KvRange, KvSnapshot } from '../../../src/shared/kv.js';
import type { MemoryKv } from '../../../src/shared/memory-kv.js';
import type { SimClock } from './sim-clock.js';
import type { CrashKind, DiskOperation } from './sim-disk.js';
import type { SimRandom } from './sim-random.js';

/** A batch whose promise has not resolved. */
interface PendingBatch {
  readonly operations: readonly KvOperation[];
  readonly isSynced: boolean;
  readonly dueMs: number;
  resolve(): void;
  reject(error: Error): void;
}

export interface SimKvParts {
  readonly clock: SimClock;
  readonly random: SimRandom;
  readonly journal: BatchJournal;
  nowMs(): number;
  latencyMs(isSynced: boolean): number;
  takeFailure(operation: DiskOperation): Error | undefined;
  onClosed(): void;
}

/** One open handle: the memory twin, with batches that take time and may fail. */
export class SimKv implements Kv {
  readonly #inner: Kv;
  readonly #memory: MemoryKv;
  readonly #parts: SimKvParts;
  #pending: PendingBatch[] = [];
  #lastDueMs = 0;
  /** A write failed: what follows is acknowledged and does not survive a crash. */
  #isDoomed = false;
  #isGone = false;

  constructor(inner: Kv, memory: MemoryKv, parts: SimKvParts) {
    this.#inner = inner;
    this.#memory = memory;
    this.#parts = parts;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const failure = this.#readFailure();
    return failure === undefined ? this.#inner.get(key) : Promise.reject(failure);
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    const failure = this.#readFailure();
    if (failure !== undefined) throw failure;
    return this.#inner.getSync(key);
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const failure = this.#readFailure();
    return failure === undefined ? this.#inner.getMany(keys) : Promise.reject(failure);
  }

  scan(range: KvRange, options?: { pageSize?: number }): AsyncIterable<KvEntry[]> {
    const failure = this.#readFailure();
    return failure === undefined ? this.#inner.scan(range, options) : failingScan(failure);
  }

  snapshot(): KvSnapshot {
    return this.#inner.snapshot();
  }

  batch(operations: readonly KvOperation[], { sync }: { sync: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      const { nowMs, latencyMs, clock } = this.#parts;
      // One writer at a time: a batch is never done before the one in front of it.
      const dueMs = Math.max(this.#lastDueMs, nowMs() + latencyMs(sync));
      this.#lastDueMs = dueMs;
      this.#pending.push({ operations, isSynced: sync, dueMs, resolve, reject });
      clock.whenRunning(dueMs - nowMs(), () => {
        if (!this.#isGone) this.#finishFirst();
      });
    });
  }

  async close(): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    for (const batch of this.#pending.splice(0)) batch.reject(new Error('the database is closed'));
    this.#parts.onClosed();
    await this.#inner.close();
  }

  /** The process is gone. A random prefix of what was under way has reached the disk. */
  crash(kind: CrashKind): void {
    this.#isGone = true;
    const { random } = this.#parts;
    const underWay = this.#pending.splice(0);
    const isLost = kind === 'machine' || this.#isDoomed;
    const reached = random.integer(0, underWay.length);
    for (const { operations } of underWay.slice(0, reached)) this.#apply(operations, false);
    this.#memory.crash(isLost && !this.#isDoomed ? random.integer(0, 4) : isLost ? 0 : ALL_BATCHES);
  }

  #finishFirst(): void {
    const batch = this.#pending.shift();
    if (batch === undefined) return;
    const { takeFailure } = this.#parts;
    const failure = takeFailure('write') ?? (batch.isSynced ? takeFailure('sync') : undefined);
    if (failure === undefined) {
      this.#apply(batch.operations, batch.isSynced && !this.#isDoomed);
      batch.resolve();
      return;
    }
    this.#isDoomed = true;
    if (this.#parts.random.chance(0.5)) this.#apply(batch.operations, false);
    batch.reject(failure);
  }

  #readFailure(): Error | undefined {
    return this.#parts.takeFailure('read');
  }

  /** The memory twin applies a batch in the call itself, and syncs it in the next turn. */
  #apply(operations: readonly KvOperation[], sync: boolean): void {
    this.#parts.journal.add(operations, (key) => this.#inner.getSync(key));
    this.#inner.batch(operations, { sync }).catch(() => undefined);
  }
}

function failingScan(failure: Error): AsyncIterable<KvEntry[]> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }) };
}

const ALL_BATCHES = Number.MAX_SAFE_INTEGER;

interface JournalRecord {
  readonly key: Uint8Array;
  readonly previous: Uint8Array | undefined;
}

/** What the last batches of a database replaced, so that a run of them can be undone later. */
export class BatchJournal {
  readonly #sizeMax: number;
  readonly #batches: (readonly JournalRecord[])[] = [];

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  add(
    operations: readonly KvOperation[],
    previousOf: (key: Uint8Array) => Uint8Array | undefined,
  ): void {
    if (this.#sizeMax === 0) return;
    this.#batches.push(operations.map(({ key }) => ({ key, previous: previousOf(key) })));
    if (this.#batches.length > this.#sizeMax) this.#batches.shift();
  }

  /** What undoes a random run of batches, and nothing that a later batch wrote. */
  revertRun(random: SimRandom): { operations: readonly KvOperation[]; lostBatches: number } {
    const count = this.#batches.length;
    if (count === 0) return { operations: [], lostBatches: 0 };
    const from = random.integer(0, count - 1);
    const end = random.integer(from + 1, count);
    const keptKeys = new Set(this.#batches.slice(end).flatMap(keysOf));
    const operations = new Map<string, KvOperation>();
    for (const { key, previous } of this.#batches.slice(from, end).flat()) {
      const text = Buffer.from(key).toString('latin1');
      if (keptKeys.has(text) || operations.has(text)) continue;
      operations.set(
        text,
        previous === undefined ? { type: 'del', key } : { type: 'put', key, value: previous },
      );
    }
    this.#batches.splice(from, end - from);
    return { operations: [...operations.values()], lostBatches: end - from };
  }
}

function keysOf(batch: readonly JournalRecord[]): string[] {
  return batch.map(({ key }) => Buffer.from(key).toString('latin1'));
}
