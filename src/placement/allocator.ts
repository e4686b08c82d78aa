/** Which nodes hold the replicas of which shard, when a cluster is laid out. */
import { assert } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';

export interface AllocationRequest {
  readonly shardIds: readonly number[];
  /** Replicas of each shard. */
  readonly replicationFactor: number;
  /** Distinct; their order does not matter. */
  readonly nodeIds: readonly number[];
}

export interface ShardAllocation {
  readonly shardId: number;
  /** Distinct nodes; the first one is where the shard's leader is preferred. */
  readonly nodeIds: readonly number[];
}

/**
 * Deals the replicas out to the nodes in turn, in ascending order of both.
 *
 * Holds for any number of shards: replicas per node differ by at most one, preferred leaders per
 * node differ by at most one, and no node holds a shard twice. Refused with INVALID_REQUEST when
 * there are fewer nodes than replicas of a shard. Costs shards x replicationFactor.
 */
export function allocateReplicas(request: AllocationRequest): ShardAllocation[] {
  const { replicationFactor } = request;
  const nodeIds = ascending(request.nodeIds);
  if (!Number.isSafeInteger(replicationFactor) || replicationFactor < 1) {
    throw new FlotillaError(
      'INVALID_REQUEST',
      'replicationFactor must be a whole number of at least 1',
      {
        field: 'replicationFactor',
      },
    );
  }
  if (replicationFactor > nodeIds.length) {
    throw new FlotillaError(
      'INVALID_REQUEST',
      `replicationFactor is ${replicationFactor}, but there are only ${nodeIds.length} nodes`,
      { field: 'replicationFactor' },
    );
  }
  return ascending(request.shardIds).map((shardId, turn) => ({
    shardId,
    nodeIds: nodesOfTurn(nodeIds, replicationFactor, turn),
  }));
}

function nodesOfTurn(nodeIds: readonly number[], replicas: number, turn: number): number[] {
  const start = turn * replicas;
  // Hands begin at multiples of `step` only, so always leading from the first card would leave
  // the other nodes without a leader. Each time the hands come round, the lead moves on by one:
  // in every nodeIds.length turns each node leads exactly once.
  const step = greatestCommonDivisor(replicas, nodeIds.length);
  const roundTurns = nodeIds.length / step;
  const lead = Math.floor(turn / roundTurns) % step;
  return Array.from({ length: replicas }, (_, position) => {
    const card = start + ((lead + position) % replicas);
    return nodeIds[card % nodeIds.length] as number;
  });
}

function ascending(ids: readonly number[]): number[] {
  assert(new Set(ids).size === ids.length, () => `an id is named twice: ${ids.join(', ')}`);
  return [...ids].sort((a, b) => a - b);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
