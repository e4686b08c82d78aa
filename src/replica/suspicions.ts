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
/** A lost round is repeated so often; afterwards the election timeout takes over. */
const ROUNDS_MAX = 3;

export class Suspicions {
  readonly #options: SuspicionsOptions;
  readonly #timers = new Map<RaftGroup<unknown>, Timer>();

  constructor(options: SuspicionsOptions) {
    this.#options = options;
  }

  /** The node is likely gone; `groups` are those of this node. */
  suspect(nodeId: number, groups: Iterable<RaftGroup<unknown>>): void {
    const led = [...groups].filter((group) => group.leaderNodeId === nodeId && !group.isLeader);
    for (const [position, group] of led.entries()) {
      group.suspectLeader();
      this.#campaignIn(this.#delayMs(group, nodeId, position), group, nodeId, 1);
    }
  }

  forget(group: RaftGroup<unknown>): void {
    this.#timers.get(group)?.cancel();
    this.#timers.delete(group);
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #campaignIn(delayMs: number, group: RaftGroup<unknown>, nodeId: number, round: number): void {
    this.#timers.get(group)?.cancel();
    const timer = this.#options.scheduler.after(delayMs, () => {
      this.#timers.delete(group);
      if (!group.campaignIfSuspect() || round === ROUNDS_MAX) return;
      const { electionTimeoutMs } = this.#options.timing;
      const roundMs = TURN_FRACTION * electionTimeoutMs * candidates(group, nodeId).length;
      this.#campaignIn(roundMs + this.#jitterMs(), group, nodeId, round + 1);
    });
    this.#timers.set(group, timer);
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
