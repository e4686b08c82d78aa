/** What operators ask about replicas and leaders: checked against the group itself, then begun. */
import type { CallOptions, GroupName, LeaderAction, ReplicaAction } from '../server/backend.js';
import { defined, unreachable } from '../shared/assert.js';
import type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import {
  type ReplicaCommand,
  type ReplicaEntry,
  TOPOLOGY_GROUP_ID,
  type TopologyDocument,
} from '../topology/document.js';
import { quorumRisk } from '../topology/group-control.js';
import { groupName, type ReplicaGroup, replicaGroups } from '../topology/replica-group.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';
import { identify } from './bootstrap.js';
import { changeStatus } from './change-status.js';
import type { GroupCalls } from './group-calls.js';

export interface ReplicaAdminOptions {
  readonly view: TopologyView;
  /** The topology's group. Throws NODE_NOT_READY where this node has none. */
  readonly topology: () => TopologyGroup;
  readonly groups: GroupCalls;
  readonly environment: Environment;
}

/** A follower counts as silent for a moment whenever the leader begins to count anew (E6). */
const QUORUM_PATIENCE_MS = 2_000;
const QUORUM_RETRY_MS = 200;

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
    const document = await this.#freshDocument(options);
    const group = groupNamed(name, document);
    if (action !== 'cancel' && !document.nodes.some((node) => node.nodeId === nodeId)) {
      throw new FlotillaError('NODE_NOT_FOUND', `There is no node ${nodeId} in the cluster`);
    }
    const command = await this.#commandFor(action, group, nodeId, options);
    await this.#propose(command, options);
    const now = await this.#freshDocument(options);
    const after = groupNamed(name, now);
    const change = after.change && changeStatus(after, after.change);
    return { change, epoch: now.epoch };
  }

  /** See `ClusterAdmin`. */
  async changeLeader(
    action: LeaderAction,
    name: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<LeaderResponse> {
    const { groups } = this.#options;
    const group = groupNamed(name, await this.#freshDocumentOrOld(options));
    const { groupId } = group;
    switch (action) {
      case 'transfer': {
        const to = nodeId === 0 ? undefined : replicaOn(group, nodeId).replicaId;
        const { leaderReplicaId } = await groups.state(groupId, options);
        if (to !== leaderReplicaId) await groups.transfer(groupId, to, options);
        break;
      }
      case 'step-down':
        await groups.stepDown(groupId, options);
        break;
      case 'elect':
        await this.#elect(group, nodeId, options);
        break;
      default:
        unreachable(action, 'leader action');
    }
    const { leaderReplicaId } = await groups.state(groupId, options);
    const leader = group.replicas.find(({ replicaId }) => replicaId === leaderReplicaId);
    return { leaderNodeId: leader?.nodeId ?? 0 };
  }

  /** See `ClusterAdmin`. Asks the node itself who it is now. */
  async readmitNode(nodeId: number, options: CallOptions): Promise<ReadmitNodeResponse> {
    const before = await this.#freshDocument(options);
    const node = before.nodes.find((one) => one.nodeId === nodeId);
    if (node === undefined) {
      throw new FlotillaError('NODE_NOT_FOUND', `There is no node ${nodeId} in the cluster`);
    }
    const card = await identify(this.#options.environment, node);
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
    await this.#propose({ kind: 'readmitNode', nodeId, storeId }, options);
    const held = replicaGroups(before).filter(({ replicas }) =>
      replicas.some((replica) => replica.nodeId === nodeId),
    );
    return { storeId, replicas: held.length };
  }

  async #commandFor(
    action: ReplicaAction,
    group: ReplicaGroup,
    nodeId: number,
    options: CallOptions,
  ): Promise<ReplicaCommand> {
    const { groupId } = group;
    switch (action) {
      case 'add':
        await this.#options.groups.state(groupId, options);
        return { kind: 'addReplica', groupId, nodeId };
      case 'remove': {
        const { replicaId } = replicaOn(group, nodeId);
        const left = (voters: readonly number[]): number[] =>
          voters.filter((one) => one !== replicaId);
        await this.#assertQuorum(group, left, [], options);
        return { kind: 'removeReplica', groupId, replicaId };
      }
      case 'reset': {
        const { replicaId } = replicaOn(group, nodeId);
        await this.#assertQuorum(group, (voters) => voters, [replicaId], options);
        return { kind: 'resetReplica', groupId, replicaId };
      }
      case 'cancel':
        return { kind: 'cancelReplicaChange', groupId };
      default:
        return unreachable(action, 'replica action');
    }
  }

  /** Throws QUORUM_AT_RISK where too few voters answer for the group to go on without `gone`. */
  async #assertQuorum(
    group: ReplicaGroup,
    votersOf: (voters: readonly number[]) => readonly number[],
    gone: readonly number[],
    options: CallOptions,
  ): Promise<void> {
    const { groups, environment } = this.#options;
    const { clock, scheduler } = environment;
    const endMs = clock.monotonicMs() + Math.min(QUORUM_PATIENCE_MS, options.timeoutMs / 2);
    for (;;) {
      const state = await groups.state(group.groupId, options);
      const risk = quorumRisk(state, votersOf(state.voters), gone);
      if (risk === undefined) return;
      if (clock.monotonicMs() + QUORUM_RETRY_MS > endMs) {
        const message = `${groupName(group)} would lose its majority: ${risk}`;
        throw new FlotillaError('QUORUM_AT_RISK', message);
      }
      await sleep(scheduler, QUORUM_RETRY_MS, options.signal);
    }
  }

  /** Without a node named, the replicas are asked in the order of the topology. */
  async #elect(group: ReplicaGroup, nodeId: number, options: CallOptions): Promise<void> {
    const { groups } = this.#options;
    const voters = group.replicas.filter(({ learner }) => !learner);
    const asked = nodeId === 0 ? voters : [replicaOn(group, nodeId)];
    const timeoutMs = options.timeoutMs / (asked.length + 1);
    let failure: FlotillaError | undefined;
    for (const replica of asked) {
      try {
        return await groups.elect(group.groupId, replica.nodeId, { ...options, timeoutMs });
      } catch (error) {
        failure = toFlotillaError(error);
      }
    }
    throw defined(failure, 'a voter');
  }

  async #propose(command: ReplicaCommand, options: CallOptions): Promise<void> {
    const result = await this.#options.topology().propose(command, options);
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
  }

  async #freshDocument(options: CallOptions): Promise<TopologyDocument> {
    await this.#options.topology().refresh(options);
    return defined(this.#options.view.current(), 'the topology');
  }

  /** An election may be what the topology itself needs: then the last document has to do. */
  async #freshDocumentOrOld(options: CallOptions): Promise<TopologyDocument> {
    const patience = { ...options, timeoutMs: Math.min(options.timeoutMs / 4, QUORUM_PATIENCE_MS) };
    return this.#freshDocument(patience).catch((error: unknown) => {
      const document = this.#options.view.current();
      if (document === undefined) throw error;
      return document;
    });
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

function replicaOn(group: ReplicaGroup, nodeId: number): ReplicaEntry {
  const found = group.replicas.find((replica) => replica.nodeId === nodeId);
  if (found !== undefined) return found;
  const message = `Node ${nodeId} has no replica of ${groupName(group)}`;
  throw new FlotillaError('REPLICA_NOT_FOUND', message, { field: 'nodeId' });
}
