/** Goal: know which graphs are made anew. Method: look on at what is done to all of them. */
import { vi } from 'vitest';
import { CollectionGraphs } from '../../../../src/engine/collection-graphs.js';

/** Of all engines of the process, from now on until `end`; one at a time. */
export class RenewalWatch {
  /** The new graph took the place of the worn one. */
  finished = 0;
  /** It was given up with its collection or its engine. */
  brokenOff = 0;
  readonly #spies: readonly { mockRestore(): void }[];

  constructor() {
    const watch = this;
    const { endRenewal, dispose } = CollectionGraphs.prototype;
    const ends = vi.spyOn(CollectionGraphs.prototype, 'endRenewal').mockImplementation(function (
      this: CollectionGraphs,
    ) {
      endRenewal.call(this);
      watch.finished++;
    });
    const disposals = vi.spyOn(CollectionGraphs.prototype, 'dispose').mockImplementation(function (
      this: CollectionGraphs,
    ) {
      if (this.renewal !== undefined) watch.brokenOff++;
      dispose.call(this);
    });
    this.#spies = [ends, disposals];
  }

  end(): void {
    for (const spy of this.#spies) spy.mockRestore();
  }
}
