/**
 * Fills a new store with entries, in the order in which they come and in synced batches, of which
 * one is written while the next is collected. Without the syncs a power loss could take what lies
 * between two files of LevelDB's own log, and nothing would replay it. Holds two batches.
 */
import type { KvEntry } from '../shared/kv.js';
import type { PointStore } from './point-store.js';

/** A sync costs as much as writing some hundred kilobytes. */
const BATCH_TARGET_BYTES = 2 * 1024 * 1024;

export class StoreFiller {
  readonly #store: PointStore;
  #batch: KvEntry[] = [];
  #batchBytes = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: PointStore) {
    this.#store = store;
  }

  /** Waits where two batches are full. Rejects with what writing an earlier one has failed with. */
  async add(entries: readonly KvEntry[]): Promise<void> {
    for (const entry of entries) {
      this.#batch.push(entry);
      this.#batchBytes += entry.key.length + entry.value.length;
    }
    if (this.#batchBytes >= BATCH_TARGET_BYTES) await this.#write();
  }

  /** All entries are durable when it resolves. */
  async finish(): Promise<void> {
    await this.#write();
    await this.#writing;
  }

  /** Waits for the batch under way, whatever becomes of it: the store may be closed then. */
  async stop(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  async #write(): Promise<void> {
    await this.#writing;
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#writing = this.#store.restore(batch);
    // Who writes the next batch, or finishes, is told.
    this.#writing.catch(() => undefined);
  }
}
