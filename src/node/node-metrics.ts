/** Feeds the gauges of Raft groups and shards from the replicas of this node. */
import type { ReplicaStatus, ShardReplica } from '../replica/replica.js';
import type {
  ClusterSnapshot,
  GroupSnapshot,
  RaftMetricsSource,
  TenancySnapshot,
} from '../server/cluster-metrics.js';
import type { Environment } from '../shared/environment.js';
import { TOPOLOGY_GROUP_ID } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';
import { engineStateOf } from './engine-state.js';

export interface NodeMetricsOptions {
  readonly view: TopologyView;
  readonly environment: Environment;
  readonly topologyStatus: () => ReplicaStatus | undefined;
  readonly replicas: ReadonlyMap<number, ShardReplica>;
  /** Whether every shard serves, as the readiness checks have found. */
  readonly serving: () => boolean;
  /** Slots in which replicas were found to differ, by shard. */
  readonly divergence: () => ReadonlyMap<number, number>;
}

const ENGINE_TIMEOUT_MS = 500;

export class NodeMetrics implements RaftMetricsSource {
  readonly #options: NodeMetricsOptions;

  constructor(options: NodeMetricsOptions) {
    this.#options = options;
  }

  async snapshot(): Promise<ClusterSnapshot> {
    const { replicas, topologyStatus, view, serving } = this.#options;
    const context = { epoch: view.current()?.epoch ?? 0, timeoutMs: ENGINE_TIMEOUT_MS };
    const shards = await Promise.all(
      [...replicas]
        .filter(([groupId]) => groupId !== TOPOLOGY_GROUP_ID)
        .map(([, replica]) => replica.status(context)),
    );
    const divergence = this.#options.divergence();
    const groups = shards.map((status) => ({
      ...this.#groupSnapshot(String(status.shardId), status),
      divergence: divergence.get(status.shardId),
      engine: status.engine && engineStateOf(status.engine),
      tenancy: tenancyOf(status),
    }));
    const topology = topologyStatus();
    const all = topology === undefined ? [] : [this.#groupSnapshot('topology', topology)];
    const faulty = shards.some((status) => status.fault !== undefined);
    const healthy = serving() && !faulty && !this.#someFollowerIsAway(shards);
    return { healthy, groups: [...groups, ...all] };
  }

  #groupSnapshot(shard: string, status: ReplicaStatus): GroupSnapshot {
    const names = new Map(
      this.#options.view
        .current()
        ?.collections.map(({ collectionId, config }) => [collectionId, config.name]),
    );
    return {
      shard,
      term: status.term,
      commitIndex: status.commitIndex,
      appliedIndex: status.appliedIndex,
      leaderChanges: status.leaderChanges,
      confirmedReads: status.confirmedReads,
      leading: status.role === 'StateLeader',
      ...(status.fault !== undefined && { faultReason: reasonOf(status.fault) }),
      followers: status.followers.map(({ nodeId, lagEntries, lagMs }) => ({
        nodeId,
        lagEntries,
        lagSeconds: lagMs / 1_000,
      })),
      vectors: new Map(
        status.engine?.collections.flatMap(({ collectionId, records }) => {
          const name = names.get(collectionId);
          return name === undefined ? [] : [[name, records] as const];
        }),
      ),
    };
  }

  #someFollowerIsAway(shards: readonly ReplicaStatus[]): boolean {
    return shards.some(({ followers }) => followers.some((follower) => !follower.recentActive));
  }
}

/** Of a leader, so that a shard has one series: followers may be behind. */
function tenancyOf({ role, engine }: ReplicaStatus): TenancySnapshot | undefined {
  if (role !== 'StateLeader' || engine?.tenancy === undefined) return undefined;
  const { tenants, recordsMax } = engine.tenancy;
  return { tenants, vectorsMax: recordsMax };
}

/** Faults begin with a word for programs, where there is one: `STORE_POISONED: no space left`. */
function reasonOf(fault: string): string {
  return /^([\w-]+):/.exec(fault)?.[1] ?? 'other';
}
