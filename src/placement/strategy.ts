/** What every way of spreading keys over shards has in common. */

/** A finished layout: who owns which key. Pure, and the same on every node that holds it. */
export interface Placement {
  /**
   * The shard of a routing key: a record's id, its tenant or its shard key, by the collection's
   * kind. Total: every string has exactly one shard.
   */
  shardOf(routingKey: string): number;
}

/**
 * Lays keys out over shards. Strategies differ in how evenly they spread keys, and in how many
 * keys move when the set of shards changes; `placementStrategySuite` checks what each one claims.
 */
export interface PlacementStrategy {
  /** Stable: it is written into the topology where a collection names its strategy. */
  readonly name: string;
  /** Depends on the set of shard ids only, not on their order. Ids are distinct, at least one. */
  place(shardIds: readonly number[]): Placement;
}
