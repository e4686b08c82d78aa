/** Telling a slow leader from a dead one. */
import type { ReplicaStatus, ShardReplica } from '../replica/replica.js';
import { withDeadline } from '../shared/deadline.js';
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { ReplicaEntry, ShardEntry } from '../topology/document.js';
import type { Leaders } from './leaders.js';

/** How long a replica may be silent before the others are asked about it. */
export const SILENCE_MS = 1_500;
const ASK_AGAIN_MS = 500;
const STATUS_TIMEOUT_MS = 500;
/** Beyond the replicas' own limit, so that it only ends those that do not keep it. */
const STATUS_GUARD_MS = 2 * STATUS_TIMEOUT_MS;

export type ReplicaResolver = (shard: ShardEntry, replica: ReplicaEntry) => ShardReplica;

export interface Watch {
  /** Rejects with NOT_LEADER, naming the new leader, once the watched replica was replaced. */
  readonly replaced: Promise<never>;
  stop(): void;
}

/**
 * Asks the other replicas of a shard who leads while the one that was asked stays silent.
 *
 * A time limit alone would take a busy leader for a dead one, and send it its own work again just
 * when it can least do with more. Its followers know the difference within an election timeout.
 */
export class LeaderWatch {
  readonly #replicas: ReplicaResolver;
  readonly #scheduler: Scheduler;
  readonly #leaders: Leaders;

  constructor(replicas: ReplicaResolver, scheduler: Scheduler, leaders: Leaders) {
    this.#replicas = replicas;
    this.#scheduler = scheduler;
    this.#leaders = leaders;
  }

  /** Watches until stopped. Costs one timer as long as the replica answers in time. */
  start(shard: ShardEntry, nodeId: number, epoch: number): Watch {
    let stopped = false;
    let replace: (error: FlotillaError) => void;
    const replaced = new Promise<never>((_, reject) => {
      replace = reject;
    });
    const ask = async (): Promise<void> => {
      const leaderNodeId = await this.#leaderBesides(shard, nodeId, epoch);
      if (stopped) return;
      if (leaderNodeId !== undefined && leaderNodeId !== nodeId) {
        this.#leaders.markSilent(shard.shardId, nodeId);
        if (leaderNodeId !== 0) return replace(replacedError(shard, nodeId, leaderNodeId));
      }
      timer = this.#scheduler.after(ASK_AGAIN_MS, ask);
    };
    let timer = this.#scheduler.after(SILENCE_MS, ask);
    const stop = (): void => {
      stopped = true;
      timer.cancel();
    };
    return { replaced, stop };
  }

  /** Node that leads as the others see it, 0 for none, undefined when nobody answers in time. */
  async #leaderBesides(
    shard: ShardEntry,
    nodeId: number,
    epoch: number,
  ): Promise<number | undefined> {
    const others = shard.replicas.filter((replica) => replica.nodeId !== nodeId);
    const answers = await Promise.allSettled(
      others.map(async (replica) =>
        withDeadline(
          this.#scheduler,
          this.#replicas(shard, replica).status({ epoch, timeoutMs: STATUS_TIMEOUT_MS }),
          { timeoutMs: STATUS_GUARD_MS },
          `Asking who leads shard ${shard.shardId}`,
        ),
      ),
    );
    return answers
      .flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
      .reduce<ReplicaStatus | undefined>(moreTelling, undefined)?.leaderNodeId;
  }
}

/** The status of the higher term; within a term, one that knows its leader. */
function moreTelling(best: ReplicaStatus | undefined, status: ReplicaStatus): ReplicaStatus {
  if (best === undefined || status.term > best.term) return status;
  if (status.term < best.term) return best;
  return best.leaderNodeId === 0 ? status : best;
}

function replacedError(shard: ShardEntry, nodeId: number, leaderNodeId: number): FlotillaError {
  const message = `Node ${nodeId} is silent, node ${leaderNodeId} leads shard ${shard.shardId} now`;
  return new FlotillaError('NOT_LEADER', message, {
    details: { leaderNodeId: String(leaderNodeId) },
  });
}
