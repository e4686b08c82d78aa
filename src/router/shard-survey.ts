/** Asking replicas of a shard, all at once, who leads it; and noting which of them answer. */
import type { ReplicaStatus, ShardReplica } from '../replica/replica.js';
import { withDeadline } from '../shared/deadline.js';
import type { Scheduler } from '../shared/environment.js';
import type { ReplicaEntry, ShardEntry } from '../topology/document.js';

/** Beyond the replicas' own limit, so that it only ends those that do not keep it. */
const GUARD_FACTOR = 2;

export type ReplicaResolver = (shard: ShardEntry, replica: ReplicaEntry) => ShardReplica;

/** What one round of questions brought. */
export class Survey {
  readonly #statuses: ReadonlyMap<number, ReplicaStatus>;

  constructor(statuses: ReadonlyMap<number, ReplicaStatus>) {
    this.#statuses = statuses;
  }

  hasHeard(nodeId: number): boolean {
    return this.#statuses.has(nodeId);
  }

  /**
   * Node that leads as those see it that answered; 0 for none, undefined where none has answered.
   * The highest term counts; within a term, a replica that knows its leader.
   */
  get leader(): number | undefined {
    const best = [...this.#statuses.values()].reduce<ReplicaStatus | undefined>(
      moreTelling,
      undefined,
    );
    return best?.leaderNodeId;
  }
}

export interface SurveyPlan {
  readonly shard: ShardEntry;
  /** Those of the shard's replicas that are asked. */
  readonly replicas: readonly ReplicaEntry[];
  readonly epoch: number;
  /** How long each of them may take. */
  readonly timeoutMs: number;
}

/** One small message to each replica. Never rejects; resolves within twice the time they have. */
export async function surveyShard(
  { scheduler, replicas: replicaOf }: { scheduler: Scheduler; replicas: ReplicaResolver },
  { shard, replicas, epoch, timeoutMs }: SurveyPlan,
): Promise<Survey> {
  const statuses = new Map<number, ReplicaStatus>();
  await Promise.allSettled(
    replicas.map(async (replica) => {
      const status = await withDeadline(
        scheduler,
        replicaOf(shard, replica).status({ epoch, timeoutMs }),
        { timeoutMs: GUARD_FACTOR * timeoutMs },
        `Asking who leads shard ${shard.shardId}`,
      );
      statuses.set(replica.nodeId, status);
    }),
  );
  return new Survey(statuses);
}

function moreTelling(best: ReplicaStatus | undefined, status: ReplicaStatus): ReplicaStatus {
  if (best === undefined || status.term > best.term) return status;
  if (status.term < best.term) return best;
  return best.leaderNodeId === 0 ? status : best;
}
