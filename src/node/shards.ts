/** What a replica of this node starts from, and where its data live. */
import type { ShardGenesis } from '../engine/engine.js';
import type { ReplicaHost } from '../replica/host.js';
import { defined } from '../shared/assert.js';
import { isFlotillaError } from '../shared/errors.js';
import type { GroupGenesis, GroupMember, LogStore } from '../storage/log-store.js';
import type { ReplicaEntry, ShardEntry, TopologyDocument } from '../topology/document.js';
import { replicaGroup } from '../topology/replica-group.js';

const HAND_OVER_TIMEOUT_MS = 2_000;

/**
 * What a group starts from on this node when the cluster is made; undefined where the node holds no
 * replica of it, or has another data directory by now: a wiped node begins nothing again (M8).
 */
export function groupGenesis(
  document: TopologyDocument,
  self: { readonly nodeId: number; readonly storeId: string },
  groupId: number,
  replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[],
): GroupGenesis | undefined {
  const own = replicas.find((replica) => replica.nodeId === self.nodeId);
  if (own === undefined || !isKnownStore(document, self)) return undefined;
  return { groupId, replicaId: own.replicaId, ...firstConfiguration(document, replicas) };
}

/**
 * What a replica starts from that comes to a group later: the configuration that the group itself
 * started from, of which it is no part. So it cannot campaign, and the changes in the group's log
 * make of it what they made of it elsewhere; a snapshot brings a configuration of its own.
 */
export function blankGenesis(
  genesis: TopologyDocument,
  groupId: number,
  replicaId: number,
): GroupGenesis {
  const group = defined(replicaGroup(genesis, groupId), `group ${groupId}`);
  return { groupId, replicaId, ...firstConfiguration(genesis, group.replicas) };
}

function firstConfiguration(
  genesis: TopologyDocument,
  replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[],
): Pick<GroupGenesis, 'confState' | 'members'> {
  const ids = (learner: boolean): number[] =>
    replicas
      .filter((replica) => (replica.learner ?? false) === learner)
      .map((replica) => replica.replicaId)
      .sort((a, b) => a - b);
  return {
    confState: {
      voters: ids(false),
      votersOutgoing: [],
      learners: ids(true),
      learnersNext: [],
      autoLeave: false,
    },
    members: replicas.map((replica) => memberOf(genesis, replica)),
  };
}

/** A replica that goes should not take the time of an election with it. Never rejects. */
export async function handOverGroup(
  host: Pick<ReplicaHost, 'group'>,
  groupId: number,
): Promise<void> {
  const group = host.group(groupId);
  if (group?.isLeader !== true) return;
  const deadline = { timeoutMs: HAND_OVER_TIMEOUT_MS };
  await group.transferLeadership(undefined, deadline).catch(() => undefined);
}

/** Whether the document knows the node by this very data directory. */
export function isKnownStore(
  document: TopologyDocument,
  self: { readonly nodeId: number; readonly storeId: string },
): boolean {
  return document.nodes.some(
    ({ nodeId, storeId }) => nodeId === self.nodeId && storeId === self.storeId,
  );
}

/** A shard's state before its first entry: the same on all replicas, whenever they come. */
export function shardGenesis(genesis: TopologyDocument, shard: ShardEntry): ShardGenesis {
  const slots = genesis.slotTable.flatMap((owner, slot) => (owner === shard.shardId ? [slot] : []));
  return { shardId: shard.shardId, ownershipVersion: shard.ownershipVersion, slots };
}

function memberOf(document: TopologyDocument, replica: ReplicaEntry): GroupMember {
  const { replicaId, nodeId } = replica;
  const node = document.nodes.find((entry) => entry.nodeId === nodeId);
  return { replicaId, nodeId, storeId: defined(node, `node ${nodeId}`).storeId };
}

/** Id of the replica whose log is here, whole or damaged; 0 for a damaged one of unknown id. */
export function heldReplicaId(logStore: LogStore, groupId: number): number | undefined {
  const of = (one: { readonly groupId: number }): boolean => one.groupId === groupId;
  return (logStore.groups().find(of) ?? logStore.damaged().find(of))?.replicaId;
}

/** A replica id that the store has had before is gone for ever (M8): no other error is ignored. */
export function ignoreUsedBefore(error: unknown): void {
  if (!isFlotillaError(error) || error.reason !== 'SETTINGS_MISMATCH') throw error;
}
