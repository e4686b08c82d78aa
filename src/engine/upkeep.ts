/**
 * What the engine does beside its requests: erasing dropped collections, filling graphs after a
 * snapshot, renewing worn ones.
 */
import { floatsOf } from '../shared/bytes.js';
import type { Version } from '../shared/types.js';
import type { Collection } from './collection.js';
import type { PointStore } from './point-store.js';
import { type RecordName, recordName } from './record-name.js';
import type { ShardData } from './shard-data.js';
import { type SliceEnvironment, Slices } from './slices.js';

export interface UpkeepOptions {
  readonly environment: SliceEnvironment;
  readonly store: PointStore;
  readonly data: ShardData;
  /** Called when work fails; the engine cannot go on. */
  readonly onFailure: (error: unknown) => void;
}

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #running = new Set<Promise<void>>();
  #stopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Begins the work that there is. To be called when all that was applied is stored. */
  begin(): void {
    const { store, data } = this.#options;
    for (const collectionId of data.takeUnerased()) {
      this.#run(store.erase(collectionId, () => !this.#stopped));
    }
    for (const collection of data.collections()) {
      if (collection.index.wantsFilling) this.#run(this.#fill(collection));
      else if (collection.index.wantsRebuild) this.#run(this.#rebuild(collection));
    }
  }

  /** Stops the work; what is not finished begins anew after the next open. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#running]);
  }

  #run(work: Promise<void>): void {
    const settled = work
      .catch((error: unknown) => {
        if (!this.#stopped) this.#options.onFailure(error);
      })
      .finally(() => this.#running.delete(settled));
    this.#running.add(settled);
  }

  async #fill(collection: Collection): Promise<void> {
    const { index } = collection;
    index.beginFilling();
    const isDone = await this.#scan(collection, (...record) => index.fill(...record));
    if (isDone) index.finishFilling();
  }

  async #rebuild(collection: Collection): Promise<void> {
    const { index } = collection;
    index.beginRebuild();
    const isDone = await this.#scan(collection, (...record) => index.addScanned(...record));
    if (isDone) index.finishRebuild();
  }

  /**
   * Hands out all stored records, as they are in the turn in which it is called. An insert a
   * record. Returns whether it came to the end before it had to stop.
   */
  async #scan(
    { collectionId, index }: Collection,
    take: (name: RecordName, version: Version, vector: Float32Array) => void,
  ): Promise<boolean> {
    const { environment, store } = this.#options;
    const slices = new Slices(environment);
    const mustStop = (): boolean => this.#stopped || index.disposed;
    for await (const page of store.allRecords(collectionId)) {
      for (const { key, value } of page) {
        if (slices.isOver) await slices.pause();
        if (mustStop()) return false;
        take(recordName(key), value.version, floatsOf(value.values));
      }
    }
    return !mustStop();
  }
}
