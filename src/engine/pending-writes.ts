/**
 * What is applied and not in the store yet. A write is durable in the log before it is applied, so
 * its answer need not wait for the store: that takes the batch of an apply call over while the next
 * call goes on, and is never more than one call behind (docs/adr/0018).
 */
import { assert, defined } from '../shared/assert.js';
import type { PinnedStore } from './pinned-store.js';
import type { PointStore } from './point-store.js';
import type { RecordName } from './record-name.js';
import { type PendingRecord, WriteBatch } from './write-batch.js';

export interface PendingWritesOptions {
  readonly store: PointStore;
  /** What a batch waits for before it is laid out, which takes about as long as to apply it. */
  readonly beforeStoring: () => Promise<void>;
  /** Called when a batch cannot be stored; nothing may be applied any more. */
  readonly onFailure: (error: unknown) => void;
}

export class PendingWrites {
  readonly #options: PendingWritesOptions;
  #applying: WriteBatch | undefined;
  #storing: WriteBatch | undefined;
  /** Settles when all that was handed over is stored, and the store pinned for who asked before. */
  #stored: Promise<void> = Promise.resolve();

  constructor(options: PendingWritesOptions) {
    this.#options = options;
  }

  /** Whether an apply call is under way. */
  get isApplying(): boolean {
    return this.#applying !== undefined;
  }

  /** Whether anything is not in the store. */
  get isEmpty(): boolean {
    return this.#applying === undefined && this.#storing === undefined;
  }

  /** The newest that is known here of a record; `undefined` where only the store knows it. */
  recordOf(collectionId: number, name: RecordName): PendingRecord | undefined {
    return (
      this.#applying?.records(collectionId).get(name) ??
      this.#storing?.records(collectionId).get(name)
    );
  }

  /** The batch of an apply call that begins. */
  begin(): WriteBatch {
    assert(!this.isApplying, 'apply was called while another call was under way');
    this.#applying = new WriteBatch();
    return this.#applying;
  }

  /**
   * Hands the batch of the apply call over, which is through with it. Resolves as soon as the batch
   * before is stored, and rejects where that has failed. `onStored` is called when this one is.
   */
  async handOver(appliedIndex: number, onStored: () => void): Promise<void> {
    await this.#stored;
    const batch = defined(this.#applying, 'the batch of an apply call');
    this.#applying = undefined;
    this.#storing = batch;
    this.#stored = this.#store(batch, appliedIndex, onStored);
    this.#stored.catch(this.#options.onFailure);
  }

  /** The store with exactly what is applied now. No apply may be under way. */
  pin(): Promise<PinnedStore> {
    assert(!this.isApplying, 'the store was to be pinned while apply was under way');
    const before = this.#stored;
    const pinned = before.then(() => this.#options.store.pin());
    // The next batch has to wait for that, also where it fails.
    this.#stored = pinned.then(
      () => undefined,
      () => before,
    );
    this.#stored.catch(() => undefined);
    return pinned;
  }

  /** Resolves when nothing is being stored any more, with whether all of it was. */
  settled(): Promise<boolean> {
    return this.#stored.then(
      () => true,
      () => false,
    );
  }

  async #store(batch: WriteBatch, appliedIndex: number, onStored: () => void): Promise<void> {
    const { store, beforeStoring } = this.#options;
    await beforeStoring();
    await store.commit(batch, appliedIndex);
    this.#storing = undefined;
    onStored();
  }
}
