/** The order in which one call visits the replicas of its shard. */
import type { Random } from '../shared/environment.js';
import type { ReplicaEntry } from '../topology/document.js';
import type { Leaders } from './leaders.js';
import type { UnreachedNodes } from './unreached-nodes.js';

export interface Stop {
  /** The replica to ask. */
  readonly replica: ReplicaEntry;
  /**
   * The node whose answer is waited for: that of the replica itself, or of the leader that it is to
   * pass the call on to, because this node does not reach it.
   */
  readonly leaderNodeId: number;
}

export interface TourOptions {
  readonly shardId: number;
  /** Whether any replica may answer, and the leader only is the surest of them. */
  readonly mayAskAny: boolean;
  readonly random: Random;
  readonly leaders: Leaders;
  readonly unreached: UnreachedNodes;
  readonly localNodeId: number | undefined;
}

/**
 * Visits each replica at most once a round by itself, and once on the way to a leader that is out
 * of reach, so that replicas which name each other as leader cannot keep a call running in circles:
 * after the round the call has to pause.
 *
 * First the leader that is remembered, or that the last error named, by way of another node where
 * this one does not reach it; then the replica on this node, then the others in the order of the
 * topology. Those that are silent or out of reach are passed by while there are others.
 *
 * Where any replica may answer, the one on this node comes first, or any, so that calls spread;
 * the leader comes next.
 */
export class ReplicaTour {
  readonly #options: TourOptions;
  readonly #visited = new Set<number>();
  readonly #passedThrough = new Set<number>();
  #hasReachedOther = false;
  #electionsSeen: number;

  constructor(options: TourOptions) {
    this.#options = options;
    this.#electionsSeen = options.leaders.electionsOf(options.shardId);
  }

  /** Elections of the shard that this node had heard of when the round began. */
  get electionsSeen(): number {
    return this.#electionsSeen;
  }

  /** The next stop; undefined when the round is over. */
  next(replicas: readonly ReplicaEntry[]): Stop | undefined {
    const { leaders, shardId, unreached, localNodeId } = this.#options;
    const counted = this.#countedOn(replicas);
    const heard = counted.filter(({ nodeId }) => unreached.how(nodeId) === undefined);
    const leaderNodeId = leaders.nodeOf(shardId);
    const { mayAskAny } = this.#options;
    if (!mayAskAny && leaderNodeId !== undefined && unreached.how(leaderNodeId) !== undefined) {
      const between = heard.find(
        ({ nodeId }) => nodeId !== localNodeId && !this.#passedThrough.has(nodeId),
      );
      if (between !== undefined) {
        this.#passedThrough.add(between.nodeId);
        this.#visited.add(between.nodeId);
        return { replica: between, leaderNodeId };
      }
    }
    // A link may be there by now, and trying costs nothing.
    const unlinked = counted.filter(({ nodeId }) => unreached.how(nodeId) === 'unlinked');
    const useful = heard.length + unlinked.length > 0 ? [...heard, ...unlinked] : replicas;
    const left = useful.filter(({ nodeId }) => !this.#visited.has(nodeId));
    const on = (nodeId: number | undefined): ReplicaEntry | undefined =>
      left.find((replica) => replica.nodeId === nodeId);
    const isFirst = this.#visited.size === 0;
    const replica =
      mayAskAny && isFirst
        ? (on(localNodeId) ?? this.#anyOf(left))
        : (on(leaderNodeId) ?? on(localNodeId) ?? left[0]);
    if (replica === undefined) return undefined;
    this.#visited.add(replica.nodeId);
    return { replica, leaderNodeId: replica.nodeId };
  }

  #anyOf(replicas: readonly ReplicaEntry[]): ReplicaEntry | undefined {
    return replicas[Math.floor(this.#options.random.next() * replicas.length)];
  }

  /** Those that are not silent; all of them where only the one on this node would be left. */
  #countedOn(replicas: readonly ReplicaEntry[]): readonly ReplicaEntry[] {
    const { shardId, leaders, localNodeId } = this.#options;
    const heard = replicas.filter(({ nodeId }) => !leaders.isSilent(shardId, nodeId));
    return heard.some(({ nodeId }) => nodeId !== localNodeId) ? heard : replicas;
  }

  /** A replica was there to refuse the call. */
  noteReached({ nodeId }: ReplicaEntry): void {
    if (nodeId !== this.#options.localNodeId) this.#hasReachedOther = true;
  }

  /** Whether this round has met none of the replicas that are on other nodes. */
  isCutOff(replicas: readonly ReplicaEntry[]): boolean {
    const { localNodeId } = this.#options;
    return !this.#hasReachedOther && replicas.some(({ nodeId }) => nodeId !== localNodeId);
  }

  startRound(): void {
    const { leaders, shardId } = this.#options;
    this.#electionsSeen = leaders.electionsOf(shardId);
    this.#visited.clear();
    this.#passedThrough.clear();
    this.#hasReachedOther = false;
  }
}
