/**
 * Elections that begin early because the node of the leader is likely dead (decisions.md, fast
 * failover).
 *
 * All replicas of a group hear of it at about the same time, and hundreds of groups at once. So
 * they take turns: a different voter goes first in each group, the next one only when that has had
 * the time to win, and the groups of a node one shortly after the other (S-51). Who is wrong about
 * the leader is refused by those who still hear from it, and nothing happens.
 */
import type { Random, Scheduler, Timer } from '../shared/environment.js';
import type { RaftGroup } from './group.js';
import type { Timing } from './timing.js';

export interface SuspicionsOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly timing: Pick<Timing, 'electionTimeoutMs'>;
}

/** What a voter waits for those before it, as parts of the election timeout T. */
const TURN_FRACTION = 0.1;
const JITTER_FRACTION = 0.03;
/** Between the elections of two groups, and for all groups together at most. */
const SPREAD_PER_GROUP_FRACTION = 0.001;
const SPREAD_MAX_FRACTION = 0.5;
/** So many rounds, each longer than the last; afterwards the election timeout takes over. */
const ROUNDS_MAX = 4;

/** A group's next election here, because this node is likely gone. */
interface Turn {
  readonly nodeId: number;
  readonly timer: Timer;
}

export class Suspicions {
  readonly #options: SuspicionsOptions;
  readonly #awaited = new Map<RaftGroup<unknown>, Turn>();

  constructor(options: SuspicionsOptions) {
    this.#options = options;
  }

  /**
   * The node is likely gone; `groups` are those of this node. That is told again with each dial
   * which fails: who waits for a turn already keeps it.
   */
  suspect(nodeId: number, groups: Iterable<RaftGroup<unknown>>): void {
    const led = [...groups].filter((group) => group.leaderNodeId === nodeId && !group.isLeader);
    for (const [position, group] of led.entries()) {
      group.suspectLeader();
      if (this.#awaited.get(group)?.nodeId === nodeId) continue;
      this.#campaignIn(this.#delayMs(group, nodeId, position), group, nodeId, 1);
    }
  }

  forget(group: RaftGroup<unknown>): void {
    this.#awaited.get(group)?.timer.cancel();
    this.#awaited.delete(group);
  }

  close(): void {
    for (const { timer } of this.#awaited.values()) timer.cancel();
    this.#awaited.clear();
  }

  #campaignIn(delayMs: number, group: RaftGroup<unknown>, nodeId: number, round: number): void {
    this.forget(group);
    const { term } = group;
    const timer = this.#options.scheduler.after(delayMs, () => {
      this.#awaited.delete(group);
      // A term that has grown is an election under way, here or elsewhere. Its votes are writes to
      // disks, which another election would void (E12): it gets a round, then they are split.
      const isUnderWay = group.term > term;
      const isWanted = isUnderWay ? group.isLeaderSuspect : group.campaignIfSuspect();
      if (!isWanted || round === ROUNDS_MAX) return;
      const { electionTimeoutMs } = this.#options.timing;
      const roundMs = TURN_FRACTION * electionTimeoutMs * candidates(group, nodeId).length;
      this.#campaignIn(round * roundMs + this.#jitterMs(), group, nodeId, round + 1);
    });
    this.#awaited.set(group, { nodeId, timer });
  }

  #delayMs(group: RaftGroup<unknown>, nodeId: number, position: number): number {
    const { electionTimeoutMs } = this.#options.timing;
    const spread = Math.min(position * SPREAD_PER_GROUP_FRACTION, SPREAD_MAX_FRACTION);
    const turn = turnOf(group, nodeId) * TURN_FRACTION;
    return (spread + turn) * electionTimeoutMs + this.#jitterMs();
  }

  #jitterMs(): number {
    const { random, timing } = this.#options;
    return random.next() * JITTER_FRACTION * timing.electionTimeoutMs;
  }
}

/** How many voters of the group go before this one. */
function turnOf(group: RaftGroup<unknown>, nodeId: number): number {
  const voters = candidates(group, nodeId);
  const place = voters.indexOf(group.replicaId);
  if (place < 0) return voters.length;
  return (place + group.groupId) % voters.length;
}

/** The voters that do not live on the node that is likely gone. */
function candidates(group: RaftGroup<unknown>, nodeId: number): readonly number[] {
  const { voters } = group.configuration.confState;
  return voters.filter((replicaId) => group.memberNodeId(replicaId) !== nodeId);
}
