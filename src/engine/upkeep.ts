/** Erases the records of collections that were dropped, beside the requests. */
import type { PointStore } from './point-store.js';
import type { ShardData } from './shard-data.js';

export interface UpkeepOptions {
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
}
