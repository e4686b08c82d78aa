/** Gauges of Raft groups, shards and collections, read from the node when they are scraped. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { EngineState } from '../shared/codec/engine-state.js';

/** Where the gauges come from; `src/node` implements it. */
export interface RaftMetricsSource {
  /** The state now. Called once per scrape. */
  snapshot(): ClusterSnapshot | Promise<ClusterSnapshot>;
}

export interface ClusterSnapshot {
  /** Whether every shard has a leader and no replica is missing or faulty, as this node sees it. */
  readonly healthy: boolean;
  /** One per replica on this node, that of the topology group included. */
  readonly groups: readonly GroupSnapshot[];
}

export interface GroupSnapshot {
  /** Value of the label `shard`: a shard's id, or "topology". */
  readonly shard: string;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Since the process started. */
  readonly leaderChanges: number;
  /** Since the replica was opened; absent where it serves no reads. */
  readonly confirmedReads?: number | undefined;
  readonly leading: boolean;
  /** Only while leading. */
  readonly followers: readonly FollowerSnapshot[];
  /** A word for why the replica does not take part, where it does not. */
  readonly faultReason?: string;
  /** Slots that this node has found to differ between replicas, or damaged, where it has looked. */
  readonly divergence?: number | undefined;
  /** Of a shard's replica that serves. */
  readonly engine?: EngineState | undefined;
  /** Only while leading, where a collection is routed by tenant. */
  readonly tenancy?: TenancySnapshot | undefined;
  /** Live records by collection name. */
  readonly vectors: ReadonlyMap<string, number>;
}

/** What tenants have on a shard: their names are no labels, there may be very many. */
export interface TenancySnapshot {
  /** Those with at least one vector. */
  readonly tenants: number;
  /** Of the one that has most. */
  readonly vectorsMax: number;
}

export interface FollowerSnapshot {
  readonly nodeId: number;
  readonly lagEntries: number;
  readonly lagSeconds: number;
}

/** Collections with series of their own per shard; the rest is summed up under OTHER. */
const COLLECTION_LABELS_MAX = 50;
const OTHER = '(other)';

type Fill = (gauge: Gauge | Counter, snapshot: ClusterSnapshot) => void;

export class ClusterMetrics {
  readonly #registry: Registry;
  readonly #source: RaftMetricsSource;
  #current: Promise<ClusterSnapshot | undefined> | undefined;

  /** Registers all of them. */
  constructor(registry: Registry, source: RaftMetricsSource) {
    this.#registry = registry;
    this.#source = source;
    this.#gaugePerGroup('raft_term', 'Term of the local replica.', (group) => group.term);
    this.#gaugePerGroup(
      'raft_commit_index',
      'Highest log index that the local replica knows to be committed.',
      (group) => group.commitIndex,
    );
    this.#gaugePerGroup(
      'raft_apply_index',
      'Highest log index that the local replica has applied.',
      (group) => group.appliedIndex,
    );
    this.#gaugePerGroup(
      'flotilla_shard_leader',
      'Whether the local replica leads its shard: 1 or 0.',
      (group) => Number(group.leading),
    );
    this.#gauge(
      'flotilla_replica_fault',
      '1 for a local replica that does not take part, by why.',
      ['shard', 'reason'],
      (gauge, { groups }) => {
        for (const { shard, faultReason: reason } of groups) {
          if (reason !== undefined) gauge.inc({ shard, reason });
        }
      },
    );
    this.#gaugePerGroup(
      'flotilla_replica_divergence',
      'Slots in which replicas were found here to differ, or damaged, and not to be whole since.',
      (group) => group.divergence,
    );
    this.#counterPerGroup(
      'raft_leader_changes_total',
      'Leaders that the local replica has seen come since the process started.',
      (group) => group.leaderChanges,
    );
    this.#counterPerGroup(
      'flotilla_reads_confirmed_total',
      'Reads for which a majority has confirmed the leader here; those with a lease need it not.',
      (group) => group.confirmedReads,
    );
    this.#gaugePerFollower(
      'replication_lag',
      'Log entries that a follower is behind, as its leader on this node sees it.',
      (follower) => follower.lagEntries,
    );
    this.#gaugePerFollower(
      'replication_lag_seconds',
      'Time since a follower last had all that was committed then.',
      (follower) => follower.lagSeconds,
    );
    this.#addVectors();
    this.#addTenancy();
    this.#addEngines();
    this.#gauge(
      'flotilla_cluster_healthy',
      'Whether every shard has a leader and all of its replicas: 1 or 0.',
      [],
      (gauge, snapshot) => gauge.inc(Number(snapshot.healthy)),
    );
  }

  /** Of the groups that have such a number. */
  #gaugePerGroup(
    name: string,
    help: string,
    read: (group: GroupSnapshot) => number | undefined,
  ): void {
    this.#gauge(name, help, ['shard'], (gauge, { groups }) => {
      for (const group of groups) {
        const value = read(group);
        if (value !== undefined) gauge.inc({ shard: group.shard }, value);
      }
    });
  }

  #gaugePerFollower(
    name: string,
    help: string,
    read: (follower: FollowerSnapshot) => number,
  ): void {
    this.#gauge(name, help, ['shard', 'follower'], (gauge, { groups }) => {
      for (const { shard, followers } of groups) {
        for (const follower of followers) {
          gauge.inc({ shard, follower: String(follower.nodeId) }, read(follower));
        }
      }
    });
  }

  /** Of what the groups count by themselves, those that do. */
  #counterPerGroup(
    name: string,
    help: string,
    read: (group: GroupSnapshot) => number | undefined,
  ): void {
    const metrics = this;
    new Counter({
      name,
      help,
      labelNames: ['shard'],
      registers: [this.#registry],
      async collect() {
        await metrics.#fill(this, (counter, { groups }) => {
          for (const group of groups) {
            const count = read(group);
            if (count !== undefined) counter.inc({ shard: group.shard }, count);
          }
        });
      },
    });
  }

  #addVectors(): void {
    this.#gauge(
      'flotilla_shard_vectors',
      `Live records of the local replica; beyond ${COLLECTION_LABELS_MAX} names "${OTHER}".`,
      ['shard', 'collection'],
      (gauge, { groups }) => {
        for (const { shard, vectors } of groups) {
          let position = 0;
          for (const [name, count] of vectors) {
            const collection = position++ < COLLECTION_LABELS_MAX ? name : OTHER;
            gauge.inc({ shard, collection }, count);
          }
        }
      },
    );
  }

  #addTenancy(): void {
    this.#gaugePerGroup(
      'flotilla_shard_tenants',
      'Tenants with vectors of a shard that this node leads, where they decide on the shard.',
      ({ tenancy }) => tenancy?.tenants,
    );
    this.#gaugePerGroup(
      'flotilla_shard_tenant_vectors_max',
      'Vectors of the tenant that has most of them on a shard that this node leads.',
      ({ tenancy }) => tenancy?.vectorsMax,
    );
  }

  #addEngines(): void {
    this.#gaugePerGroup(
      'flotilla_engine_head_rows',
      'Records of the local replica that wait for a graph: searches read all of them.',
      ({ engine }) => engine?.headRows,
    );
    this.#gaugePerGroup(
      'flotilla_engine_graph_points',
      'Points in the graphs of the local replica, tombstones included.',
      ({ engine }) => engine?.graphPoints,
    );
    this.#gaugePerGroup(
      'flotilla_engine_graph_tombstones',
      'Points in the graphs of the local replica whose records were deleted or replaced.',
      ({ engine }) => engine?.graphTombstones,
    );
    this.#gaugePerGroup(
      'flotilla_engine_renewing',
      'Whether the local replica makes a worn graph anew, beside the one that serves: 1 or 0.',
      ({ engine }) => engine && Number(engine.renewing),
    );
    this.#gaugePerGroup(
      'flotilla_engine_graphs_loading',
      'Collections of the local replica whose graph is loaded from its checkpoint, or about to be.',
      ({ engine }) => engine?.graphsLoading,
    );
    this.#gaugePerGroup(
      'flotilla_engine_graphs_rebuilding',
      'Collections of the local replica whose graph is made anew because it is worn, or takes in ' +
        'records that no checkpoint had.',
      ({ engine }) => engine?.graphsRebuilding,
    );
  }

  #gauge(name: string, help: string, labelNames: readonly string[], fill: Fill): void {
    const metrics = this;
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
      async collect() {
        await metrics.#fill(this, fill);
      },
    });
  }

  /** Series are made anew at each scrape: those of shards that went away must not linger. */
  async #fill(metric: Gauge | Counter, fill: Fill): Promise<void> {
    const snapshot = await this.#snapshot();
    metric.reset();
    if (snapshot !== undefined) fill(metric, snapshot);
  }

  /** All metrics of one scrape are collected in the same tick and share one snapshot. */
  #snapshot(): Promise<ClusterSnapshot | undefined> {
    this.#current ??= this.#take().finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  /** Without a snapshot the other metrics are still served. */
  async #take(): Promise<ClusterSnapshot | undefined> {
    try {
      return await this.#source.snapshot();
    } catch {
      return undefined;
    }
  }
}
