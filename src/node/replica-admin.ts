/**
 * What operators ask about replicas and leaders: checked against the group itself, then begun. Each
 * call has one budget of time, and every step in it gets what is left.
 */
import { TimeBudget } from '../router/time-budget.js';
import type { CallOptions, GroupName, LeaderAction, ReplicaAction } from '../server/backend.js';
import { defined, unreachable } from '../shared/assert.js';
import type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
import { withDeadline } from '../shared/deadline.js';
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import {
  type ReplicaCommand,
  type ReplicaEntry,
  TOPOLOGY_GROUP_ID,
  type TopologyDocument,
} from '../topology/document.js';
import { type GroupState, quorumRisk, survivalRisk } from '../topology/group-control.js';
import {
  changeIdOf,
  groupName,
  type ReplicaGroup,
  replicaGroups,
} from '../topology/replica-group.js';
import { hasCaughtUp } from '../topology/replica-steps.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';
import { identify } from './bootstrap.js';
import { changeStatus } from './change-status.js';
import type { GroupCalls } from './group-calls.js';
import type { ReplicaDirectory } from './replica-directory.js';

export interface ReplicaAdminOptions {
  readonly view: TopologyView;
  /** The topology's group. Throws NODE_NOT_READY where this node has none. */
  readonly topology: () => TopologyGroup;
  readonly groups: GroupCalls;
  readonly directory: Pick<ReplicaDirectory, 'replicaOf'>;
  readonly environment: Environment;
}

/** A follower counts as silent for a moment whenever the leader begins to count anew (E6). */
const QUORUM_PATIENCE_MS = 2_000;
const QUORUM_RETRY_MS = 200;
/** A node that does not say within this what it holds is taken for gone. */
const HELD_PATIENCE_MS = 2_000;

export class ReplicaAdmin {
  readonly #options: ReplicaAdminOptions;

  constructor(options: ReplicaAdminOptions) {
    this.#options = options;
  }

  /** See `ClusterAdmin`. */
  async changeReplicas(
    action: ReplicaAction,
    name: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse> {
    const budget = this.#budgetOf(options);
    const document = await this.#freshDocument(budget);
    const group = groupNamed(name, document);
    if (!document.nodes.some((node) => node.nodeId === nodeId)) {
      throw new FlotillaError('NODE_NOT_FOUND', `There is no node ${nodeId} in the cluster`);
    }
    const command = await this.#commandFor(action, group, nodeId, budget);
    await this.#propose(command, budget);
    return this.#changeNow(name, budget);
  }

  /** See `ClusterAdmin`. */
  async cancelReplicaChange(
    name: GroupName,
    changeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse> {
    const budget = this.#budgetOf(options);
    const group = groupNamed(name, await this.#freshDocument(budget));
    const { groupId, change } = group;
    // One that is given up already is not asked about again: the answer to a retry is the same.
    const isNew = change?.stage !== 'cancelling';
    if (isNew && changeIdOf(change) === changeId) await this.#assertNotReplaced(group, budget);
    await this.#propose({ kind: 'cancelReplicaChange', groupId, changeId }, budget);
    return this.#changeNow(name, budget);
  }

  /**
   * Begins to replace this very replica by a new one on its node, with the checks of a reset that
   * an operator asks for. Rejects as that does: QUORUM_AT_RISK, CHANGE_IN_PROGRESS, ...
   */
  async replaceLost(groupId: number, replicaId: number, options: CallOptions): Promise<void> {
    const budget = this.#budgetOf(options);
    const document = await this.#freshDocument(budget);
    const group = replicaGroups(document).find((one) => one.groupId === groupId);
    // One that was replaced meanwhile is no loss any more.
    if (!group?.replicas.some((one) => one.replicaId === replicaId)) return;
    await this.#assertQuorumWithout(group, replicaId, budget);
    await this.#propose({ kind: 'resetReplica', groupId, replicaId }, budget);
  }

  /** See `ClusterAdmin`. */
  async changeLeader(
    action: LeaderAction,
    name: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<LeaderResponse> {
    const { groups } = this.#options;
    const budget = this.#budgetOf(options);
    const group = await this.#inFreshOrOld(budget, (document) => {
      const found = groupNamed(name, document);
      if (nodeId !== 0 && action !== 'step-down') existingReplicaOn(found, nodeId);
      return found;
    });
    const { groupId } = group;
    switch (action) {
      case 'transfer': {
        const to = nodeId === 0 ? undefined : existingReplicaOn(group, nodeId).replicaId;
        const { leaderReplicaId } = await groups.state(groupId, budget.toDeadline());
        if (to !== leaderReplicaId) await groups.transfer(groupId, to, budget.toDeadline());
        break;
      }
      case 'step-down':
        await groups.stepDown(groupId, budget.toDeadline());
        break;
      case 'elect':
        await this.#elect(group, nodeId, budget);
        break;
      default:
        unreachable(action, 'leader action');
    }
    const { leaderReplicaId } = await groups.state(groupId, budget.toDeadline());
    const leader = group.replicas.find(({ replicaId }) => replicaId === leaderReplicaId);
    return { leaderNodeId: leader?.nodeId ?? 0 };
  }

  /** See `ClusterAdmin`. Asks the node itself who it is now. */
  async readmitNode(nodeId: number, options: CallOptions): Promise<ReadmitNodeResponse> {
    const { environment } = this.#options;
    const budget = this.#budgetOf(options);
    const before = await this.#freshDocument(budget);
    const node = before.nodes.find((one) => one.nodeId === nodeId);
    if (node === undefined) {
      throw new FlotillaError('NODE_NOT_FOUND', `There is no node ${nodeId} in the cluster`);
    }
    const asked = identify(environment, node);
    const what = `asking node ${nodeId} who it is`;
    const card = await withDeadline(environment.scheduler, asked, budget.toDeadline(), what);
    const { storeId } = card.node;
    const clusterId = card.genesis?.clusterId ?? before.clusterId;
    if (card.node.nodeId !== nodeId || clusterId !== before.clusterId) {
      throw new FlotillaError(
        'WRONG_CLUSTER',
        `${node.peerAddress} is node ${card.node.nodeId} of cluster ${clusterId}, not node ` +
          `${nodeId} of cluster ${before.clusterId}`,
      );
    }
    if (storeId === node.storeId) return { storeId, replicas: 0 };
    await this.#propose({ kind: 'readmitNode', nodeId, storeId }, budget);
    const held = replicaGroups(before).filter(({ replicas }) =>
      replicas.some((replica) => replica.nodeId === nodeId),
    );
    return { storeId, replicas: held.length };
  }

  async #commandFor(
    action: ReplicaAction,
    group: ReplicaGroup,
    nodeId: number,
    budget: TimeBudget,
  ): Promise<ReplicaCommand> {
    const { groupId } = group;
    switch (action) {
      case 'add': {
        const state = await this.#options.groups.state(groupId, budget.toDeadline());
        if (groupId !== TOPOLOGY_GROUP_ID) return { kind: 'addReplica', groupId, nodeId };
        const { replicaId } = existingReplicaOn(group, nodeId);
        assertCaughtUp(group, replicaId, state);
        return { kind: 'promoteReplica', groupId, replicaId };
      }
      case 'remove': {
        const { replicaId } = existingReplicaOn(group, nodeId);
        const left = (voters: readonly number[]): number[] =>
          voters.filter((one) => one !== replicaId);
        await this.#assertQuorum(group, budget, async (state) =>
          quorumRisk(state, left(state.voters)),
        );
        const isTopology = groupId === TOPOLOGY_GROUP_ID;
        return { kind: isTopology ? 'demoteReplica' : 'removeReplica', groupId, replicaId };
      }
      case 'reset': {
        const { replicaId } = existingReplicaOn(group, nodeId);
        await this.#assertQuorumWithout(group, replicaId, budget);
        return { kind: 'resetReplica', groupId, replicaId };
      }
      default:
        return unreachable(action, 'replica action');
    }
  }

  /**
   * Throws QUORUM_AT_RISK where the others could not go on, now or after a loss of power, once the
   * log of this replica is gone: that is how its replacement begins (M12).
   */
  #assertQuorumWithout(group: ReplicaGroup, replicaId: number, budget: TimeBudget): Promise<void> {
    const { groups } = this.#options;
    return this.#assertQuorum(group, budget, async (state) => {
      const risk = quorumRisk(state, state.voters, [replicaId]);
      if (risk !== undefined) return risk;
      const durable = await groups.durableVoters(group.groupId, budget.toDeadline());
      return survivalRisk(state, durable, [replicaId]);
    });
  }

  /** Throws QUORUM_AT_RISK where `riskOf` goes on to name a reason for it. */
  async #assertQuorum(
    group: ReplicaGroup,
    budget: TimeBudget,
    riskOf: (state: GroupState) => Promise<string | undefined>,
  ): Promise<void> {
    const { groups, environment } = this.#options;
    const patience = budget.firstPart(0.5).firstMs(QUORUM_PATIENCE_MS);
    for (;;) {
      const risk = await riskOf(await groups.state(group.groupId, budget.toDeadline()));
      if (risk === undefined) return;
      if (patience.leftMs <= QUORUM_RETRY_MS) {
        const message = `${groupName(group)} would lose its majority: ${risk}`;
        throw new FlotillaError('QUORUM_AT_RISK', message);
      }
      await sleep(environment.scheduler, QUORUM_RETRY_MS, budget.signal);
    }
  }

  /**
   * Only what is added can be given up without loss. A replacement on the same node begins with the
   * end of the old log: to give that up would leave the group with one replica fewer for good. So
   * CHANGE_IN_PROGRESS, unless the node says that it still holds the old one, or says nothing: one
   * that is gone must not hold up the group for ever. If it comes back without the old log, its
   * status says so.
   */
  async #assertNotReplaced(group: ReplicaGroup, budget: TimeBudget): Promise<void> {
    const { add, remove } = group.change ?? {};
    const old = group.replicas.find(({ replicaId }) => replicaId === remove);
    if (add === undefined || old?.nodeId !== add.nodeId) return;
    const held = await this.#heldOn(group, old.nodeId, budget);
    if (held === undefined || held === old.replicaId) return;
    throw new FlotillaError(
      'CHANGE_IN_PROGRESS',
      `Replica ${add.replicaId} has taken the place of replica ${old.replicaId} on node ` +
        `${old.nodeId} already, whose log is gone: there is nothing to go back to. Wait until ` +
        `the new one has caught up; if the node is lost, stop it, cancel, and remove the replica`,
    );
  }

  /** Id of the node's replica, running or not; undefined where the node does not answer. */
  async #heldOn(
    group: ReplicaGroup,
    nodeId: number,
    budget: TimeBudget,
  ): Promise<number | undefined> {
    const { directory, view } = this.#options;
    const { leftMs: timeoutMs } = budget.firstPart(0.5).firstMs(HELD_PATIENCE_MS);
    const epoch = view.current()?.epoch ?? 0;
    try {
      const { replicaId } = await directory.replicaOf(group, nodeId).status({ epoch, timeoutMs });
      return replicaId;
    } catch (thrown) {
      // A node that answers that it has no replica answers: the old one is not there.
      return toFlotillaError(thrown).reason === 'NODE_NOT_READY' ? 0 : undefined;
    }
  }

  /** Without a node named, the replicas are asked in the order of the topology. */
  async #elect(group: ReplicaGroup, nodeId: number, budget: TimeBudget): Promise<void> {
    const { groups } = this.#options;
    const voters = group.replicas.filter(({ learner }) => !learner);
    const asked = nodeId === 0 ? voters : [existingReplicaOn(group, nodeId)];
    const share = budget.leftMs / (asked.length + 1);
    let failure: FlotillaError | undefined;
    for (const replica of asked) {
      try {
        const deadline = budget.firstMs(share).toDeadline();
        return await groups.elect(group.groupId, replica.nodeId, deadline);
      } catch (error) {
        failure = toFlotillaError(error);
      }
    }
    throw defined(failure, 'a voter');
  }

  #budgetOf(options: CallOptions): TimeBudget {
    return new TimeBudget(this.#options.environment.clock, options);
  }

  async #changeNow(name: GroupName, budget: TimeBudget): Promise<ReplicaResponse> {
    const document = await this.#freshDocument(budget);
    const group = groupNamed(name, document);
    const change = group.change && changeStatus(group, group.change);
    return { change, epoch: document.epoch };
  }

  async #propose(command: ReplicaCommand, budget: TimeBudget): Promise<void> {
    const result = await this.#options.topology().propose(command, budget.toDeadline());
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
  }

  async #freshDocument(budget: TimeBudget): Promise<TopologyDocument> {
    await this.#options.topology().refresh(budget.toDeadline());
    return defined(this.#options.view.current(), 'the topology');
  }

  /**
   * What `look` finds. An election may be what the topology itself needs: then the last document
   * has to do. What is not in an old one may be in a newer: the error is then that it is old.
   */
  async #inFreshOrOld<T>(budget: TimeBudget, look: (document: TopologyDocument) => T): Promise<T> {
    try {
      await this.#freshDocument(budget.firstPart(0.25).firstMs(QUORUM_PATIENCE_MS));
    } catch (whyOld) {
      const old = this.#options.view.current();
      if (old === undefined) throw whyOld;
      try {
        return look(old);
      } catch {
        throw whyOld;
      }
    }
    return look(defined(this.#options.view.current(), 'the topology'));
  }
}

function groupNamed(name: GroupName, document: TopologyDocument): ReplicaGroup {
  const isMeant = ({ groupId, shardId }: ReplicaGroup): boolean =>
    name.kind === 'topology'
      ? groupId === TOPOLOGY_GROUP_ID
      : groupId !== TOPOLOGY_GROUP_ID && shardId === name.shardId;
  const group = replicaGroups(document).find(isMeant);
  if (group !== undefined) return group;
  const which = name.kind === 'shard' ? `shard ${name.shardId}` : 'topology group';
  throw new FlotillaError('SHARD_NOT_FOUND', `There is no ${which}`, { field: 'shardId' });
}

/** Who is to vote has the log (M6). Throws NODE_NOT_READY where that is not so, or not known. */
function assertCaughtUp(group: ReplicaGroup, replicaId: number, state: GroupState): void {
  if (state.voters.includes(replicaId)) return;
  const learner = state.followers.find((one) => one.replicaId === replicaId);
  if (learner !== undefined && hasCaughtUp(learner, state)) return;
  const name = `Replica ${replicaId} of ${groupName(group)}`;
  const message = `${name} is not caught up, or does not answer`;
  throw new FlotillaError('NODE_NOT_READY', message, { field: 'nodeId' });
}

function existingReplicaOn(group: ReplicaGroup, nodeId: number): ReplicaEntry {
  const found = group.replicas.find((replica) => replica.nodeId === nodeId);
  if (found !== undefined) return found;
  const message = `Node ${nodeId} has no replica of ${groupName(group)}`;
  throw new FlotillaError('REPLICA_NOT_FOUND', message, { field: 'nodeId' });
}
