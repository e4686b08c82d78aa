/** What each shard of a read is asked for, and what each says of its answer. */
import type { ReadAnswer } from '../replica/replica.js';
import {
  type Consistency,
  type ServedShard,
  type ShardConsistency,
  UNTOLD,
} from '../shared/consistency.js';
import type { TopologyDocument } from '../topology/document.js';

/**
 * The freshness that is asked of each shard. Where a shard owns something else than when the
 * session saw it, what that saw may be on any shard by now: all are read strongly (R15).
 */
export function freshnessByShard(
  consistency: Consistency,
  { shards }: Pick<TopologyDocument, 'shards'>,
): (shardId: number) => ShardConsistency {
  if (typeof consistency === 'string' || 'boundedMs' in consistency) return () => consistency;
  const versions = new Map(shards.map((one) => [one.shardId, one.ownershipVersion]));
  const { session } = consistency;
  const isAsSeen = session.every((seen) => versions.get(seen.shardId) === seen.ownershipVersion);
  if (!isAsSeen) return () => 'strong';
  const indexes = new Map(session.map((seen) => [seen.shardId, seen.appliedIndex]));
  return (shardId) => ({ minIndex: indexes.get(shardId) ?? 0 });
}

/** A shard's part of an answer, and where it comes from. */
export interface ShardAnswer<T> {
  readonly value: T;
  readonly served: ServedShard;
}

/** A replica of an earlier version does not tell what it shows: no session may go by that. */
export function answerOf<T>(
  { value, state }: ReadAnswer<T>,
  from: Pick<ServedShard, 'shardId' | 'nodeId' | 'ownershipVersion'>,
): ShardAnswer<T> {
  if (state !== undefined) return { value, served: { ...from, ...state } };
  const { ownershipVersion, appliedIndex } = UNTOLD;
  return { value, served: { ...from, ownershipVersion, appliedIndex } };
}
