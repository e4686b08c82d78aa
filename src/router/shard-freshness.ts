/** What each shard of a read is asked for, and what each says of its answer. */
import type { ReadAnswer } from '../replica/replica.js';
import {
  type Consistency,
  isUntold,
  noteSeen,
  type SeenShard,
  type ServedShard,
  type ShardConsistency,
  UNTOLD,
} from '../shared/consistency.js';
import type { TopologyDocument } from '../topology/document.js';
import { ownershipVersions } from '../topology/routes.js';

/**
 * The freshness that is asked of each shard. A session is followed by the indexes of the shards'
 * logs where this table is at least as new as those that it saw, because of what moved since then
 * the shard that has it now shows all: it answers only under its own version of this table, which
 * its log has behind that. Where a shard owned more lately than this table says, where one is not
 * in it, or something was seen that nobody can tell, all are read strongly (R15).
 */
export function freshnessByShard(
  consistency: Consistency,
  document: Pick<TopologyDocument, 'shards'>,
): (shardId: number) => ShardConsistency {
  if (typeof consistency === 'string' || 'boundedMs' in consistency) return () => consistency;
  const versions = ownershipVersions(document);
  const seen = new Map<number, SeenShard>();
  noteSeen(seen, consistency.session);
  const isKnown = [...seen.values()].every(
    (one) => !isUntold(one) && one.ownershipVersion <= (versions.get(one.shardId) ?? 0),
  );
  if (!isKnown) return () => 'strong';
  return (shardId) => ({ minIndex: seen.get(shardId)?.appliedIndex ?? 0 });
}

/** A shard's part of an answer, and where it comes from. */
export interface ShardAnswer<T> {
  readonly value: T;
  readonly served: ServedShard;
}

/**
 * Where the parts of a read come from that has asked some shards twice: what it took from `first`
 * is older by then, by `passedMs` at most. Of a shard the answer shows no more than the further of
 * both, and is as old as the older one (R12, R13); the later one names the node.
 */
export function servedInTurn(
  first: readonly ServedShard[],
  passedMs: number,
  then: readonly ServedShard[],
): readonly ServedShard[] {
  if (first.length === 0) return then;
  const parts = new Map(first.map((part) => [part.shardId, aged(part, passedMs)]));
  for (const part of then) {
    const before = parts.get(part.shardId);
    parts.set(part.shardId, before === undefined ? part : both(before, part));
  }
  return [...parts.values()];
}

function aged({ ageMs, ...part }: ServedShard, passedMs: number): ServedShard {
  return ageMs === undefined ? part : { ...part, ageMs: ageMs + passedMs };
}

function both(before: ServedShard, { ageMs, ...part }: ServedShard): ServedShard {
  const seen = new Map<number, SeenShard>();
  noteSeen(seen, [before, part]);
  const isAged = before.ageMs !== undefined && ageMs !== undefined;
  return {
    ...part,
    ...seen.get(part.shardId),
    ...(isAged && { ageMs: Math.max(before.ageMs, ageMs) }),
  };
}

/** A replica of an earlier version does not tell what it shows: no session may go by that. */
export function answerOf<T>(
  { value, state }: ReadAnswer<T>,
  from: Pick<ServedShard, 'shardId' | 'nodeId' | 'ownershipVersion'>,
): ShardAnswer<T> {
  const { shardId, nodeId } = from;
  if (state === undefined) return { value, served: { ...UNTOLD, shardId, nodeId } };
  const { appliedIndex, ageMs } = state;
  const { ownershipVersion } = from;
  const part = { shardId, ownershipVersion, appliedIndex, nodeId: state.nodeId ?? nodeId };
  return { value, served: ageMs === undefined ? part : { ageMs, ...part } };
}
