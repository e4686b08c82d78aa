/** How fresh a read has to be, how fresh an answer was, and what a session has seen. */
import type { ReadConsistency } from './types.js';

/** What a session has seen of one shard. */
export interface SeenShard {
  readonly shardId: number;
  /** Of the shard when that was, see `ShardEntry`; 0 where it was not told, nor the index. */
  readonly ownershipVersion: number;
  /** Nothing of the shard that the session wrote or read is later in the shard's log than this. */
  readonly appliedIndex: number;
}

/** Which replica one shard's part of an answer comes from, and what that had applied. */
export interface ServedShard extends SeenShard {
  readonly nodeId: number;
  /**
   * The part is no older than this, in milliseconds before the replica answered: it shows all that
   * was acknowledged until then. Absent where the replica does not know.
   */
  readonly ageMs?: number;
}

/** The levels that a leader does not have to serve. Those of `ReadConsistency` are stronger. */
export type RelaxedConsistency =
  /** What some replica has applied. */
  | 'eventual'
  /** At most so old, in milliseconds, when the replica answers. */
  | { readonly boundedMs: number }
  /** All that is listed, or later. */
  | { readonly session: readonly SeenShard[] };

/** How fresh a whole read has to be; docs/consistency.md. */
export type Consistency = ReadConsistency | RelaxedConsistency;

/** The same as one shard is asked. */
export type ShardConsistency =
  | ReadConsistency
  | 'eventual'
  | { readonly boundedMs: number }
  /** The state up to this index of the shard's log, or a later one. */
  | { readonly minIndex: number };

/** Whether a replica may serve the read that does not lead. */
export function isRelaxed(
  consistency: ShardConsistency,
): consistency is Exclude<ShardConsistency, ReadConsistency> {
  return consistency !== 'strong' && consistency !== 'leased';
}

/** Stands for what an answer did not tell: whatever has seen it reads strongly (R15). */
export const UNTOLD: SeenShard = { shardId: 0, ownershipVersion: 0, appliedIndex: 0 };

/**
 * Adds what was seen. Of two ownership versions of a shard the earlier one stays: it says that what
 * was seen there may have moved, which a newer index of the same shard does not undo (R15).
 */
export function noteSeen(known: Map<number, SeenShard>, seen: Iterable<SeenShard>): void {
  for (const { shardId, ownershipVersion, appliedIndex } of seen) {
    const before = known.get(shardId);
    const isFurther =
      before === undefined ||
      ownershipVersion < before.ownershipVersion ||
      (ownershipVersion === before.ownershipVersion && appliedIndex > before.appliedIndex);
    if (isFurther) known.set(shardId, { shardId, ownershipVersion, appliedIndex });
  }
}
