/** The order in which one call visits the replicas of its shard. */
import type { Random } from '../shared/environment.js';
import type { FlotillaError } from '../shared/errors.js';
import type { ReplicaEntry } from '../topology/document.js';
import type { BehindReplicas } from './behind-replicas.js';
import type { Leaders } from './leaders.js';
import type { NearNodes } from './near-nodes.js';
import type { SlowNodes } from './slow-nodes.js';
import type { UnreachedNodes } from './unreached-nodes.js';

/**
 * Why a replica is asked. `leader`: it leads, as far as is known. `local`: it is on this node.
 * `near`: drawn at random among those in this node's zone, where others are elsewhere. `any`: drawn
 * at random, any will do. `next`: those before it have failed. `last`: no other one is known to be
 * in reach. `relay`: it is to pass the call on to the leader, which is out of reach from here.
 * `hedge`: another one takes long.
 */
export type ReplicaChoice =
  | 'leader'
  | 'local'
  | 'near'
  | 'any'
  | 'next'
  | 'last'
  | 'relay'
  | 'hedge';

export interface Stop {
  /** The replica to ask. */
  readonly replica: ReplicaEntry;
  readonly choice: ReplicaChoice;
  /**
   * The node whose answer is waited for: that of the replica itself, or of the leader that it is to
   * pass the call on to, because this node does not reach it.
   */
  readonly leaderNodeId: number;
}

type Chosen = Pick<Stop, 'replica' | 'choice'>;

export interface TourOptions {
  readonly shardId: number;
  /** Whether any replica may answer, and the leader only is the surest of them. */
  readonly mayAskAny: boolean;
  readonly random: Random;
  readonly leaders: Leaders;
  readonly unreached: UnreachedNodes;
  readonly slow: SlowNodes;
  /** Counts where any replica may answer. */
  readonly near: Pick<NearNodes, 'has'>;
  /** Of a read that a replica may have to come up to. @default the call is none */
  readonly behind?: BehindReplicas | undefined;
  readonly localNodeId: number | undefined;
}

/** One replica may have been busy for a moment. */
const TOO_SLOW_MAX = 2;

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
 * the leader comes next. Those in this node's zone come before those in others (M-14), except that
 * after one that was behind the leader is next, wherever it is. Those on slow nodes, and those that
 * were behind, come last, as do those out of reach: a zone that does not answer is passed by.
 */
export class ReplicaTour {
  readonly #options: TourOptions;
  // Of a few nodes each: lists are looked through faster than sets are made.
  #visited: number[] = [];
  #passedThrough: number[] = [];
  #hasReachedOther = false;
  readonly #tooSlow: FlotillaError[] = [];
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
    const stop = this.peek(replicas);
    if (stop === undefined) return undefined;
    const { replica, leaderNodeId } = stop;
    this.#visited.push(replica.nodeId);
    if (leaderNodeId !== replica.nodeId) this.#passedThrough.push(replica.nodeId);
    return stop;
  }

  /** What `next` would answer; where that is one of several alike, it may answer another. */
  peek(replicas: readonly ReplicaEntry[]): Stop | undefined {
    const { leaders, shardId, unreached, localNodeId, mayAskAny } = this.#options;
    const counted = this.#countedOn(replicas);
    const heard = counted.filter(({ nodeId }) => unreached.how(nodeId) === undefined);
    const leaderNodeId = leaders.nodeOf(shardId);
    if (!mayAskAny && leaderNodeId !== undefined && unreached.how(leaderNodeId) !== undefined) {
      const between = heard.find(
        ({ nodeId }) => nodeId !== localNodeId && !this.#passedThrough.includes(nodeId),
      );
      if (between !== undefined) return { replica: between, choice: 'relay', leaderNodeId };
    }
    // A link may be there by now, and trying costs nothing.
    const unlinked = counted.filter(({ nodeId }) => unreached.how(nodeId) === 'unlinked');
    const reachable = [...heard, ...unlinked];
    const useful = reachable.length > 0 ? reachable : replicas;
    const left = useful.filter(({ nodeId }) => !this.#visited.includes(nodeId));
    const chosen = mayAskAny ? this.#anyOf(this.#promptOf(left)) : this.#likelyLeader(left);
    if (chosen === undefined) return undefined;
    const choice = reachable.length > 0 ? chosen.choice : 'last';
    return { replica: chosen.replica, choice, leaderNodeId: chosen.replica.nodeId };
  }

  #likelyLeader(replicas: readonly ReplicaEntry[]): Chosen | undefined {
    const { leaders, shardId, localNodeId } = this.#options;
    const isFirst = this.#visited.length === 0;
    return (
      on(replicas, leaders.nodeOf(shardId), 'leader') ??
      on(replicas, localNodeId, isFirst ? 'local' : 'next') ??
      on(replicas, replicas[0]?.nodeId, isFirst ? 'any' : 'next')
    );
  }

  #anyOf(replicas: readonly ReplicaEntry[]): Chosen | undefined {
    if (this.#visited.length > 0) return this.#likelyLeader(this.#nearestOf(replicas));
    const { random, localNodeId } = this.#options;
    const local = on(replicas, localNodeId, 'local');
    if (local !== undefined) return local;
    const nearest = this.#nearestOf(replicas);
    const drawn = nearest[Math.floor(random.next() * nearest.length)];
    return drawn && { replica: drawn, choice: nearest === replicas ? 'any' : 'near' };
  }

  /** Those in this node's zone that are in reach; the very list where all are in it, or none. */
  #nearestOf(replicas: readonly ReplicaEntry[]): readonly ReplicaEntry[] {
    const { shardId, near, behind, unreached } = this.#options;
    // The next one in the zone may be behind as well, and would be waited for: the leader is not.
    if (this.#visited.some((nodeId) => behind?.comesLast(shardId, nodeId))) return replicas;
    const inZone = replicas.filter(({ nodeId }) => near.has(nodeId));
    if (inZone.length === replicas.length) return replicas;
    const inReach = inZone.filter(({ nodeId }) => unreached.how(nodeId) === undefined);
    return inReach.length > 0 ? inReach : replicas;
  }

  /** Those on nodes that are not slow, and not behind; all of them where there is none. */
  #promptOf(replicas: readonly ReplicaEntry[]): readonly ReplicaEntry[] {
    const { shardId, slow, behind } = this.#options;
    const prompt = replicas.filter(
      ({ nodeId }) => !slow.isPassedBy(nodeId) && !behind?.comesLast(shardId, nodeId),
    );
    return prompt.length > 0 ? prompt : replicas;
  }

  /** Those that are not silent; all of them where only the one on this node would be left. */
  #countedOn(replicas: readonly ReplicaEntry[]): readonly ReplicaEntry[] {
    const { shardId, leaders, localNodeId } = this.#options;
    const heard = replicas.filter(({ nodeId }) => !leaders.isSilent(shardId, nodeId));
    return heard.some(({ nodeId }) => nodeId !== localNodeId) ? heard : replicas;
  }

  /** A replica was there to refuse the call, or to say who leads. */
  noteReached(nodeId: number): void {
    if (nodeId !== this.#options.localNodeId) this.#hasReachedOther = true;
  }

  /** A replica has carried the read out, and found that it takes longer than its bound. */
  noteTooSlow(error: FlotillaError): void {
    this.#tooSlow.push(error);
  }

  /** What the last of them has said, where another would most likely do it in vain as well. */
  get tooSlow(): FlotillaError | undefined {
    return this.#tooSlow[TOO_SLOW_MAX - 1];
  }

  /** Whether this round has met none of the replicas that are on other nodes. */
  isCutOff(replicas: readonly ReplicaEntry[]): boolean {
    const { localNodeId } = this.#options;
    return !this.#hasReachedOther && replicas.some(({ nodeId }) => nodeId !== localNodeId);
  }

  startRound(): void {
    const { leaders, shardId } = this.#options;
    this.#electionsSeen = leaders.electionsOf(shardId);
    this.#visited = [];
    this.#passedThrough = [];
    this.#hasReachedOther = false;
  }
}

function on(
  replicas: readonly ReplicaEntry[],
  nodeId: number | undefined,
  choice: ReplicaChoice,
): Chosen | undefined {
  const replica = replicas.find((one) => one.nodeId === nodeId);
  return replica && { replica, choice };
}
