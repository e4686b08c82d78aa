/**
 * Who leads a group, and how that is changed on purpose: transfers, elections that an operator
 * wants, and elections that begin early because the leader's process is likely dead.
 */
import type { RawNode } from '../raft/raw-node.js';
import { NONE, type ProgressStatus, type Role, type SoftState } from '../raft/types.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Conditions } from './conditions.js';
import type { Timing } from './timing.js';

export interface LeadershipOptions {
  readonly replicaId: number;
  readonly node: RawNode;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly conditions: Conditions;
  /** Asks for a turn of the group. */
  readonly schedule: () => void;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #node: RawNode;
  #role: Role = 'StateFollower';
  #lead = NONE;
  #changes = 0;
  #isLeaderSuspect = false;
  #heardMs = 0;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#node = options.node;
  }

  /** As the last turn of the group has told. */
  get isHeld(): boolean {
    return this.#role === 'StateLeader';
  }

  /** The leader's replica id; `NONE` where none is known. */
  get lead(): number {
    return this.#lead;
  }

  /** How often another leader has been heard of. */
  get changes(): number {
    return this.#changes;
  }

  /** Returns whether another leader was heard of. */
  note({ role, lead }: SoftState): boolean {
    const hasNewLeader = lead !== NONE && lead !== this.#lead;
    if (hasNewLeader) this.#changes += 1;
    if (lead !== NONE) this.#isLeaderSuspect = false;
    this.#role = role;
    this.#lead = lead;
    this.#options.conditions.check();
    return hasNewLeader;
  }

  /**
   * Hands the leadership to a voter, or to the one that has the most of the log (T1). Resolves when
   * another replica leads. Rejects with NO_LEADER when there is nobody to take over, and with
   * DEADLINE_EXCEEDED when nobody has within an election timeout: then this replica leads on.
   */
  async transfer(to: number | undefined): Promise<void> {
    const target = to ?? this.successors()[0]?.id;
    if (target === undefined) {
      throw new FlotillaError('NO_LEADER', 'No other voter has caught up and could take over');
    }
    if (this.#node.transferLeader(target) === 'refused') {
      throw new FlotillaError('INVALID_REQUEST', `Replica ${target} cannot take over: no voter`);
    }
    this.#options.schedule();
    const isOver = this.#timeIsUp();
    await this.#options.conditions.wait(() => this.#isElsewhere || (this.isHeld && isOver()));
    if (this.isHeld) {
      throw new FlotillaError('DEADLINE_EXCEEDED', `Replica ${target} did not take over in time`);
    }
  }

  /**
   * Makes this replica lead: asks the leader to hand over, else campaigns, with pre-vote, so that a
   * leader which is well is not disturbed. Goes on until it leads or `isWanted` answers false.
   */
  async seize(isWanted: () => boolean): Promise<void> {
    const { replicaId, conditions, schedule } = this.#options;
    while (!this.isHeld && isWanted()) {
      if (this.#lead === NONE || this.#node.transferLeader(replicaId) === 'refused') {
        this.#node.campaign();
      }
      schedule();
      const isOver = this.#timeIsUp();
      await conditions.wait(() => this.isHeld || isOver() || !isWanted());
    }
  }

  /** There is evidence that the leader's process died: voters need not wait for its silence. */
  suspect(): void {
    this.#isLeaderSuspect = true;
    this.#node.suspectLeader();
  }

  /** The leader was heard of: it lives. */
  trust(): void {
    this.#isLeaderSuspect = false;
    this.#heardMs = this.#options.clock.monotonicMs();
  }

  /**
   * Whether this replica leads, or has heard of the leader within two election timeouts. One that
   * does not vote keeps a leader that has forgotten it: it has no election to give it up for.
   */
  get isInTouch(): boolean {
    const { clock, timing } = this.#options;
    if (this.isHeld) return true;
    const silentMs = clock.monotonicMs() - this.#heardMs;
    return this.#lead !== NONE && silentMs < 2 * timing.electionTimeoutMs;
  }

  /** Whether nobody has taken the place of a leader that was suspected. */
  get isSuspect(): boolean {
    return this.#isLeaderSuspect;
  }

  get #isElsewhere(): boolean {
    return !this.isHeld && this.#lead !== NONE;
  }

  #timeIsUp(): () => boolean {
    const { clock, timing } = this.#options;
    // The core gives up after an election timeout, which a tick may begin late.
    const endMs = clock.monotonicMs() + timing.transferTimeoutMs + 2 * timing.tickMs;
    return () => clock.monotonicMs() >= endMs;
  }

  /** The voters that could take over, those whose log is nearest to the end first. */
  successors(): readonly ProgressStatus[] {
    const { replicaId } = this.#options;
    const { progress, confState } = this.#node.status();
    const isFit = ({ id, state, recentActive }: ProgressStatus): boolean =>
      id !== replicaId &&
      confState.voters.includes(id) &&
      recentActive &&
      state === 'StateReplicate';
    return progress.filter(isFit).sort((a, b) => b.match - a.match || a.id - b.id);
  }
}
