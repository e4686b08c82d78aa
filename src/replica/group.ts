/**
 * One Raft group on this node, as others see it: proposals, reads, changes of its configuration and
 * of its leadership. `ReplicaRuntime` is what is behind it.
 */
import {
  type ConfState,
  type Message,
  NONE,
  type ProgressStatus,
  type RaftStatus,
} from '../raft/types.js';
import { type Deadline, withDeadline } from '../shared/deadline.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import { LIMITS } from '../shared/limits.js';
import type { GroupConfiguration } from '../storage/log-store.js';
import type { PeerIdentity } from '../transport/transport.js';
import type { ConfigurationChange } from './configuration-changes.js';
import { ProposalAdmission, UNAPPLIED_BYTES_MAX } from './proposal-admission.js';
import type { ProposalOutcome } from './proposals.js';
import { openStateMachine } from './replica-core.js';
import { ReplicaRuntime, type RuntimeOptions } from './replica-runtime.js';
import type { SnapshotRecipient } from './snapshot-receiver.js';
import type { TransferProgress } from './transfer-meter.js';

export type GroupOptions<Result> = RuntimeOptions<Result>;

export interface GroupStatus extends RaftStatus {
  readonly leaderChanges: number;
  readonly fault: string | undefined;
  /** Milliseconds behind, by replica id; only while leading. */
  readonly lagMs: ReadonlyMap<number, number>;
  /** Snapshots on their way, by the replica that they go to. */
  readonly sending: ReadonlyMap<number, TransferProgress>;
  /** The snapshot that arrives for this replica. */
  readonly receiving: TransferProgress | undefined;
}

/** Where a read may be confirmed: a follower asks its leader (R10). */
export type ReadPlace = 'leader' | 'anywhere';

export class RaftGroup<Result> implements SnapshotRecipient {
  readonly groupId: number;
  readonly replicaId: number;
  readonly #replica: ReplicaRuntime<Result>;
  readonly #admission: ProposalAdmission;

  /**
   * Opens the state machine, and the core at the index up to which it was applied. Rejects with
   * LOG_DAMAGED where the two do not fit together and no snapshot closes the gap.
   */
  static async open<Result>(options: GroupOptions<Result>): Promise<RaftGroup<Result>> {
    const { stateMachine, snapshots } = options;
    const appliedIndex = await openStateMachine(options, stateMachine, snapshots?.files);
    return new RaftGroup(new ReplicaRuntime(options, appliedIndex));
  }

  private constructor(replica: ReplicaRuntime<Result>) {
    this.#replica = replica;
    this.groupId = replica.groupId;
    this.replicaId = replica.replicaId;
    const { conditions, proposals } = replica.waiters;
    this.#admission = new ProposalAdmission({
      conditions,
      pendingBytes: () => Math.max(proposals.pendingBytes, replica.applyLag.bytes),
      isOver: () => !replica.isLeader,
      boundBytes: UNAPPLIED_BYTES_MAX,
    });
  }

  get isLeader(): boolean {
    return this.#replica.isLeader;
  }

  get appliedIndex(): number {
    return this.#replica.appliedIndex;
  }

  get commitIndex(): number {
    return this.#replica.commitIndex;
  }

  get term(): number {
    return this.#replica.node.basicStatus().hardState.term;
  }

  /** As applied here. */
  get configuration(): GroupConfiguration {
    return this.#replica.members.configuration;
  }

  /**
   * The configuration that this replica goes on with after a loss of power. It was synced together
   * with a commit index that covers it (M12).
   */
  get durableConfiguration(): GroupConfiguration {
    return this.#replica.durableConfiguration;
  }

  /** Node of the leader as far as known; 0 for none. */
  get leaderNodeId(): number {
    return this.memberNodeId(this.#replica.leadership.lead);
  }

  /** Whether what the leader commits gets here; see `Leadership.isInTouch`. */
  get isInTouch(): boolean {
    return this.#replica.isRunning && this.#replica.leadership.isInTouch;
  }

  /**
   * Why the replica had better serve no read that its leader does not confirm; undefined where it
   * may (R16). One that votes has had the whole log once (M6), a snapshot comes to who lost touch,
   * and a state that was lost is made again from the beginning.
   */
  get absence(): string | undefined {
    const { isRunning, members, options, node, hasCaughtUpWithItself } = this.#replica;
    if (!isRunning) return 'it has stopped';
    const { voters, votersOutgoing } = members.configuration.confState;
    const votes = voters.includes(this.replicaId) || votersOutgoing.includes(this.replicaId);
    if (!votes) return 'it is no full member of its group';
    const isArriving = options.snapshots?.receiving(this.groupId) !== undefined;
    if (isArriving || node.isRestoring) return 'a snapshot is about to replace its state';
    return hasCaughtUpWithItself ? undefined : 'its state is being made again from its log';
  }

  /**
   * The index at which this leader may serve a read by itself at this moment; undefined where it
   * holds no lease. To be asked again, in the same term, before the answer leaves (P-5, R6).
   */
  get leasedIndex(): number | undefined {
    return this.isLeader ? this.#replica.node.leaseIndex() : undefined;
  }

  memberNodeId(replicaId: number): number {
    return this.#replica.members.nodeIdOf(replicaId);
  }

  /** One logical tick. Cheap while nothing is due. */
  tick(): void {
    this.#replica.tick();
  }

  /** A message from another replica; ignored where it is not to be believed (M8). */
  step(from: PeerIdentity, message: Message): void {
    // Without its file a snapshot means nothing: those come through `takeSnapshot`.
    if (message.type !== 'MsgSnap') this.#replica.step(from, message);
  }

  /** Carries out what the core has ready. */
  advance(): void {
    this.#replica.advance();
  }

  /** See `SnapshotRecipient`. */
  refusal(from: PeerIdentity, message: Message): string | undefined {
    return this.#replica.refusal(from, message);
  }

  /** See `SnapshotRecipient`. */
  takeSnapshot(from: PeerIdentity, message: Message): void {
    this.#replica.step(from, message);
  }

  /** The link to a node broke: its replica is probed until it answers (L6). */
  reportUnreachable(nodeId: number): void {
    if (!this.isLeader) return;
    const { node, members } = this.#replica;
    for (const replicaId of members.replicasOn(nodeId)) {
      if (replicaId !== this.replicaId) this.#replica.act(() => node.reportUnreachable(replicaId));
    }
  }

  /** Whether the leader was suspected, and neither heard from since nor followed by another. */
  get isLeaderSuspect(): boolean {
    return this.#replica.isRunning && this.#replica.leadership.isSuspect;
  }

  /** There is evidence that the leader's process died. Whoever campaigns now may win at once. */
  suspectLeader(): void {
    this.#replica.act(() => this.#replica.leadership.suspect());
  }

  /**
   * Campaigns, unless the leader was heard from since it was suspected, or there is a new one.
   * Returns whether the leader is still suspect.
   */
  campaignIfSuspect(): boolean {
    const { node } = this.#replica;
    if (!this.isLeaderSuspect) return false;
    this.#replica.act(() => node.campaign());
    return true;
  }

  /**
   * Waits until the replica and a quorum have applied enough of what was proposed before, so that
   * writers are no faster than they are (A6). Resolves with what is to be called once the
   * `sizeBytes` are proposed. Rejects with PROPOSAL_DROPPED when the deadline passes first, and
   * CANCELLED.
   */
  async admit(sizeBytes: number, deadline: Deadline): Promise<() => void> {
    const entered = this.#admission.enter(sizeBytes);
    if (entered !== undefined) return entered;
    let isWanted = true;
    const admitted = this.#admission.wait(sizeBytes, () => isWanted);
    try {
      return await this.#bounded(admitted, deadline, 'waiting to write to the log');
    } catch (error) {
      isWanted = false;
      if (toFlotillaError(error).reason !== 'DEADLINE_EXCEEDED') throw error;
      throw tooMuchPending('The shard applies writes slower than they come');
    }
  }

  /**
   * Appends an entry and tells what became of it. Throws NOT_LEADER, NO_LEADER, PROPOSAL_DROPPED,
   * DISK_FULL or NODE_NOT_READY when it was not even appended. While the disk is nearly full, only
   * an entry that `freesSpace` is taken (S7).
   */
  propose(
    data: Uint8Array,
    freesSpace: () => boolean = () => false,
  ): Promise<ProposalOutcome<Result>> {
    this.#assertLeads();
    const { node, options, waiters } = this.#replica;
    if (options.logStore.space === 'low' && !freesSpace()) {
      throw new FlotillaError('DISK_FULL', "The disk of the shard's leader is nearly full");
    }
    if (waiters.proposals.pendingBytes + data.length > LIMITS.uncommittedBytesMax.value) {
      throw tooMuchPending('The shard applies writes slower than they come');
    }
    const result = node.propose(data);
    switch (result.kind) {
      case 'accepted': {
        const outcome = waiters.proposals.wait(result.index, result.term, data.length);
        this.#replica.applyLag.proposed(result.index, data.length);
        options.schedule();
        return outcome;
      }
      case 'not-leader':
        throw this.#notLeader();
      case 'dropped':
        if (result.why === 'uncommitted-limit') {
          throw tooMuchPending('The shard commits writes slower than they come');
        }
        throw new FlotillaError('NO_LEADER', `The leader takes no writes now: ${result.why}`);
    }
  }

  /**
   * Resolves once a read of the state machine here is linearizable (R1). Throws NOT_LEADER or
   * NO_LEADER where it cannot be asked for, and rejects with NO_LEADER when the leader is lost,
   * otherwise as `Reads.start` does.
   */
  readBarrier(place: ReadPlace = 'leader', givenUp?: GiveUpSignal): Promise<void> {
    this.#assertRuns();
    const { node, options, waiters } = this.#replica;
    // The role that was last noted may be out of date.
    const { role, lead } = node.basicStatus().softState;
    if (place === 'leader' && !(this.isLeader && role === 'StateLeader')) throw this.#notLeader();
    // Nor is there anybody to ask while the leadership is handed over (T1).
    if (lead === NONE || node.transferTarget !== NONE) throw this.#notLeader();
    const barrier = waiters.reads.start((id) => node.readIndex(id) === 'queued', givenUp);
    options.schedule();
    this.#replica.hurry();
    return barrier;
  }

  /**
   * Resolves once `index` is applied on this replica, whoever leads. Rejects as `Reads.start` does.
   */
  waitApplied(index: number, givenUp?: GiveUpSignal): Promise<void> {
    this.#assertRuns();
    const applied = this.#replica.waiters.reads.waitApplied(index, givenUp);
    this.#replica.hurry();
    return applied;
  }

  /**
   * Changes the configuration as its leader; resolves with it when the change is through, the joint
   * configuration left (M1). Rejects with NOT_LEADER, CHANGE_IN_PROGRESS, INVALID_REQUEST, or with
   * an unknown outcome: then the configuration tells.
   */
  async changeConfiguration(change: ConfigurationChange, deadline: Deadline): Promise<ConfState> {
    this.#assertLeads();
    return this.#bounded(this.#replica.changes.make(change), deadline, 'changing the replicas');
  }

  /** Hands the leadership to a replica, or to the fittest. See `Leadership.transfer`. */
  async transferLeadership(toReplicaId: number | undefined, deadline: Deadline): Promise<void> {
    this.#assertLeads();
    const transfer = this.#replica.leadership.transfer(toReplicaId);
    await this.#bounded(transfer, deadline, 'a transfer of the leadership');
  }

  /** Makes this replica lead, with the leader's consent or where there is no leader (E5). */
  async forceElection(deadline: Deadline): Promise<void> {
    this.#assertRuns();
    let isWanted = true;
    const seized = this.#replica.leadership.seize(() => isWanted && this.#replica.isRunning);
    await this.#bounded(seized, deadline, 'an election').finally(() => {
      isWanted = false;
    });
  }

  /** Leads no longer: hands over, or leaves the group to an election if nobody can take over. */
  async stepDown(deadline: Deadline): Promise<void> {
    await this.transferLeadership(undefined, deadline).catch(() => this.#assertRuns());
    if (this.isLeader) this.#replica.act(() => this.#replica.node.stepDown());
  }

  /** The voters that could take over at once, the fittest first. Only while leading. */
  get successors(): readonly ProgressStatus[] {
    return this.isLeader ? this.#replica.leadership.successors() : [];
  }

  /**
   * Stops this replica for good: its state machine is lost. If it leads, the others elect another
   * leader, because nobody hears from it any more.
   */
  fail(error: FlotillaError): void {
    this.#replica.fail(error);
  }

  status(): GroupStatus {
    const { node, lag, leadership, snapshots, fault, options } = this.#replica;
    const status = node.status();
    const nowMs = options.environment.clock.monotonicMs();
    return {
      ...status,
      leaderChanges: leadership.changes,
      fault,
      lagMs: new Map(status.progress.map(({ id, match }) => [id, lag.lagMs(nowMs, match)])),
      sending: snapshots?.sending ?? new Map(),
      receiving: options.snapshots?.receiving(this.groupId),
    };
  }

  /** Waits for the write and the apply under way; everyone else is told `unknown`. Idempotent. */
  close(): Promise<void> {
    return this.#replica.close();
  }

  #assertRuns(): void {
    const { isClosed, isRunning } = this.#replica;
    if (isClosed) throw new FlotillaError('NODE_NOT_READY', 'The node is stopping');
    if (!isRunning) throw new FlotillaError('NODE_NOT_READY', 'The replica has stopped');
  }

  #assertLeads(): void {
    if (this.#replica.isClosed) this.#assertRuns();
    if (!this.isLeader) throw this.#notLeader();
  }

  #notLeader(): FlotillaError {
    const nodeId = this.leaderNodeId;
    return nodeId === 0 || this.#replica.leadership.isHeld
      ? new FlotillaError('NO_LEADER', `Group ${this.groupId} has no leader that is known here`)
      : new FlotillaError('NOT_LEADER', `Node ${nodeId} leads group ${this.groupId}`, {
          details: { leaderNodeId: String(nodeId) },
        });
  }

  #bounded<T>(work: Promise<T>, deadline: Deadline, what: string): Promise<T> {
    const { scheduler } = this.#replica.options.environment;
    return withDeadline(scheduler, work, deadline, `${what} of group ${this.groupId}`);
  }
}

function tooMuchPending(message: string): FlotillaError {
  return new FlotillaError('PROPOSAL_DROPPED', message, { limit: 'uncommittedBytesMax' });
}
