/** Which shard an id belongs to, as a cluster with default placement lays them out. */
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import type { Placement } from '../../../src/placement/strategy.js';

export class KeySpace {
  readonly #placement: Placement;

  constructor(shards: number) {
    const shardIds = Array.from({ length: shards }, (_, shardId) => shardId);
    this.#placement = new RingStrategy().place(shardIds);
  }

  shardOf(id: string): number {
    return this.#placement.shardOf(id);
  }

  /** An id of the shard: the prefix with the first number that fits. */
  idOn(shardId: number, prefix: string): string {
    for (let number = 0; ; number++) {
      const id = `${prefix}.${number}`;
      if (this.shardOf(id) === shardId) return id;
    }
  }
}
