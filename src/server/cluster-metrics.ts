/** Gauges of Raft groups, shards and collections, read from the node when they are scraped. */
import { Counter, Gauge, type Registry } from 'prom-client';

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
  readonly leading: boolean;
  /** Only while leading. */
  readonly followers: readonly FollowerSnapshot[];
  /** A word for why the replica does not take part, where it does not. */
  readonly faultReason?: string;
  /** Slots in which replicas differed when this node last compared them, where it has. */
  readonly divergence?: number | undefined;
  /** Live records by collection name. */
  readonly vectors: ReadonlyMap<string, number>;
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
    this.#gauge(
      'flotilla_replica_divergence',
      'Slots in which the replicas of a shard held different records when last compared here.',
      ['shard'],
      (gauge, { groups }) => {
        for (const { shard, divergence } of groups) {
          if (divergence !== undefined) gauge.inc({ shard }, divergence);
        }
      },
    );
    this.#addLeaderChanges();
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
    this.#gauge(
      'flotilla_cluster_healthy',
      'Whether every shard has a leader and all of its replicas: 1 or 0.',
      [],
      (gauge, snapshot) => gauge.inc(Number(snapshot.healthy)),
    );
  }

  #gaugePerGroup(name: string, help: string, read: (group: GroupSnapshot) => number): void {
    this.#gauge(name, help, ['shard'], (gauge, { groups }) => {
      for (const group of groups) gauge.inc({ shard: group.shard }, read(group));
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

  #addLeaderChanges(): void {
    const metrics = this;
    new Counter({
      name: 'raft_leader_changes_total',
      help: 'Leaders that the local replica has seen come since the process started.',
      labelNames: ['shard'],
      registers: [this.#registry],
      async collect() {
        await metrics.#fill(this, (counter, { groups }) => {
          for (const group of groups) counter.inc({ shard: group.shard }, group.leaderChanges);
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
