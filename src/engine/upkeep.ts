/** Erases the records of collections that were dropped, beside the requests. */
import type { PointStore } from './point-store.js';

export interface UpkeepOptions {
  readonly store: PointStore;
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

  /** Begins to erase these. To be called when it is stored that they are dropped. */
  erase(collectionIds: readonly number[]): void {
    const { store } = this.#options;
    for (const collectionId of collectionIds) {
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
