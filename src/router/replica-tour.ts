/** The order in which one call visits the replicas of its shard. */
import type { ReplicaEntry } from '../topology/document.js';
import type { Leaders } from './leaders.js';

/**
 * Visits each replica at most once a round, so that replicas which name each other as leader
 * cannot keep a call running in circles: after the round the call has to pause.
 *
 * First the leader that is remembered, or that the last error named; then the replica on this node,
 * then the others in the order of the topology. Silent ones are passed by while there are others.
 */
export class ReplicaTour {
  readonly #shardId: number;
  readonly #leaders: Leaders;
  readonly #localNodeId: number | undefined;
  readonly #visited = new Set<number>();

  constructor(shardId: number, leaders: Leaders, localNodeId: number | undefined) {
    this.#shardId = shardId;
    this.#leaders = leaders;
    this.#localNodeId = localNodeId;
  }

  /** The replica to visit next; undefined when the round is over. */
  next(replicas: readonly ReplicaEntry[]): ReplicaEntry | undefined {
    const heard = replicas.filter(({ nodeId }) => !this.#leaders.isSilent(this.#shardId, nodeId));
    const useful = heard.length > 0 ? heard : replicas;
    const left = useful.filter(({ nodeId }) => !this.#visited.has(nodeId));
    const on = (nodeId: number | undefined): ReplicaEntry | undefined =>
      left.find((replica) => replica.nodeId === nodeId);
    const replica = on(this.#leaders.nodeOf(this.#shardId)) ?? on(this.#localNodeId) ?? left[0];
    if (replica !== undefined) this.#visited.add(replica.nodeId);
    return replica;
  }

  startRound(): void {
    this.#visited.clear();
  }
}
