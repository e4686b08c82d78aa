/** Opens the replicas that the topology puts on this node. */
import type { Engine, ShardGenesis } from '../engine/engine.js';
import type { ReplicaHost } from '../replica/host.js';
import { LocalReplica } from '../replica/local-replica.js';
import type { ShardReplica } from '../replica/replica.js';
import { absentReplica } from '../replica/status-only-replica.js';
import { defined } from '../shared/assert.js';
import type { Environment } from '../shared/environment.js';
import type { FlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { GroupGenesis, GroupMember, LogStore } from '../storage/log-store.js';
import type { ReplicaEntry, ShardEntry, TopologyDocument } from '../topology/document.js';

export const TOPOLOGY_GROUP_ID = 0;

export interface OpenShardsOptions {
  readonly document: TopologyDocument;
  readonly nodeId: number;
  readonly host: ReplicaHost;
  readonly logStore: LogStore;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly createEngine: (genesis: ShardGenesis, onLost: (error: FlotillaError) => void) => Engine;
}

/** What a group starts from on this node; undefined where the node holds no replica of it. */
export function groupGenesis(
  document: TopologyDocument,
  nodeId: number,
  groupId: number,
  replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[],
): GroupGenesis | undefined {
  const own = replicas.find((replica) => replica.nodeId === nodeId);
  if (own === undefined) return undefined;
  const ids = (learner: boolean): number[] =>
    replicas
      .filter((replica) => (replica.learner ?? false) === learner)
      .map((replica) => replica.replicaId)
      .sort((a, b) => a - b);
  return {
    groupId,
    replicaId: own.replicaId,
    confState: {
      voters: ids(false),
      votersOutgoing: [],
      learners: ids(true),
      learnersNext: [],
      autoLeave: false,
    },
    members: replicas.map((replica): GroupMember => {
      const node = document.nodes.find((entry) => entry.nodeId === replica.nodeId);
      const { storeId } = defined(node, `node ${replica.nodeId} of group ${groupId}`);
      return { replicaId: replica.replicaId, nodeId: replica.nodeId, storeId };
    }),
  };
}

/**
 * Opens all replicas of this node, side by side; `opened` is called for each as it is there, so
 * that a small shard serves while a big one still loads. A damaged log, or an engine that does not
 * open, leaves a replica that only says why: the other shards go on.
 */
export async function openShards(
  options: OpenShardsOptions,
  opened: (groupId: number, replica: ShardReplica) => void,
): Promise<void> {
  const mine = options.document.shards.flatMap((shard) => {
    const genesis = groupGenesis(options.document, options.nodeId, shard.groupId, shard.replicas);
    return genesis === undefined ? [] : [{ shard, genesis }];
  });
  await Promise.all(
    mine.map(async ({ shard, genesis }) => {
      opened(shard.groupId, await openShard(options, shard, genesis));
    }),
  );
}

async function openShard(
  options: OpenShardsOptions,
  shard: ShardEntry,
  genesis: GroupGenesis,
): Promise<ShardReplica> {
  const { shardId, groupId } = shard;
  const { nodeId, logStore, host, environment, logger } = options;
  const faulty = (fault: string): ShardReplica => {
    logger.error({ shardId, groupId, fault }, 'a replica does not take part');
    return absentReplica({ shardId, groupId, replicaId: genesis.replicaId, nodeId, fault });
  };
  const damage = logStore.damaged().find((one) => one.groupId === groupId);
  if (damage !== undefined) return faulty(`${damage.reason}: ${damage.message}`);
  let replica: LocalReplica | undefined;
  const engine = options.createEngine(shardGenesis(options.document, shard), (error) =>
    replica?.fail(error),
  );
  try {
    await logStore.createGroup(genesis);
    replica = await LocalReplica.open({
      shardId,
      nodeId,
      genesis,
      engine,
      host,
      logStore,
      environment,
    });
    return replica;
  } catch (error) {
    await engine.close().catch(() => undefined);
    return faulty(String(error));
  }
}

function shardGenesis(document: TopologyDocument, shard: ShardEntry): ShardGenesis {
  const slots = document.slotTable.flatMap((owner, slot) =>
    owner === shard.shardId ? [slot] : [],
  );
  return { shardId: shard.shardId, ownershipVersion: shard.ownershipVersion, slots };
}
