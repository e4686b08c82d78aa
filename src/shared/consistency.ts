/** How fresh a read has to be, how fresh an answer was, and what a session has seen. */
import type { ErrorBody, ReadConsistency } from './types.js';

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

/** Details of an error that answers a bounded read; see `isTooSlow`. */
export const TOO_SLOW = { slow: '1' } as const;

/**
 * Whether the read itself, or a round to the leader, takes longer than the age that it allows. A
 * replica that says so has worked in vain, as most others would: who has heard it twice had better
 * not ask again.
 */
export function isTooSlow({ details }: ErrorBody): boolean {
  return details?.slow === TOO_SLOW.slow;
}

/** Stands for what an answer did not tell: whatever has seen it reads strongly (R15). */
export const UNTOLD: SeenShard = { shardId: 0, ownershipVersion: 0, appliedIndex: 0 };

/**
 * Adds what was seen: of each shard the newest ownership version and the furthest index, which is
 * of the same log under all of them (R15). What was not told stays so.
 */
export function noteSeen(known: Map<number, SeenShard>, seen: Iterable<SeenShard>): void {
  for (const { shardId, ownershipVersion, appliedIndex } of seen) {
    const before = known.get(shardId);
    if (before !== undefined && isUntold(before)) continue;
    if (ownershipVersion === UNTOLD.ownershipVersion) known.set(shardId, { ...UNTOLD, shardId });
    else {
      known.set(shardId, {
        shardId,
        ownershipVersion: Math.max(ownershipVersion, before?.ownershipVersion ?? 0),
        appliedIndex: Math.max(appliedIndex, before?.appliedIndex ?? 0),
      });
    }
  }
}

/** Whether something was seen of the shard that nobody can tell. */
export function isUntold({ ownershipVersion }: SeenShard): boolean {
  return ownershipVersion === UNTOLD.ownershipVersion;
}
