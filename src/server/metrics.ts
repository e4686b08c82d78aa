/**
 * What a node measures, for Prometheus. Label values are few and known in advance: methods, codes,
 * shards, nodes, and up to a limit collections; never ids, tenants or messages.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client';
import type { ErrorCode } from '../shared/error-codes.js';
import { ClusterMetrics, type RaftMetricsSource } from './cluster-metrics.js';
import { RouterMetrics } from './router-metrics.js';

const CALL_BUCKETS_SECONDS = [
  0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const SEARCH_BUCKETS_SECONDS = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.025, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5, 10,
];
const MERGE_BUCKETS_SECONDS = [
  0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025,
];

const SEARCH_METHODS: ReadonlySet<string> = new Set(['Records/Search', 'Records/SearchBatch']);

/** Default metrics of prom-client whose names `promtool check metrics` refuses. */
const MISNAMED_DEFAULTS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

export interface ServerMetricsOptions {
  readonly registry: Registry;
  readonly version: string;
  readonly nodeId: number;
}

/** Numbers that are read when they are scraped. */
export interface ServerGauges {
  readonly inflight: () => number;
  readonly connections: () => number;
}

export class ServerMetrics {
  readonly registry: Registry;
  readonly router: RouterMetrics;
  readonly #calls: Histogram;
  readonly #searches: Histogram;
  readonly #failedSearches: Counter;
  readonly #degradedSearches: Counter;
  readonly #fanOut: Histogram;
  readonly #merge: Histogram;
  readonly #expired: Counter;
  /** How often replicas were asked, by operation, on this node and on others. */
  readonly #shardCalls = new Map<string, { local: number; remote: number }>();

  constructor({ registry, version, nodeId }: ServerMetricsOptions) {
    const registers = [registry];
    this.registry = registry;
    this.router = new RouterMetrics(registry);
    this.#calls = new Histogram({
      name: 'flotilla_request_duration_seconds',
      help: 'Time from the arrival of a request to its answer, by method and status code.',
      labelNames: ['method', 'code'],
      buckets: CALL_BUCKETS_SECONDS,
      registers,
    });
    this.#searches = new Histogram({
      name: 'flotilla_search_duration_seconds',
      help: 'Time from the arrival of a search to its answer, by method and status code.',
      labelNames: ['method', 'code'],
      buckets: SEARCH_BUCKETS_SECONDS,
      registers,
    });
    this.#failedSearches = new Counter({
      name: 'flotilla_search_failures_total',
      help: 'Searches that were answered with an error, by method and status code.',
      labelNames: ['method', 'code'],
      registers,
    });
    this.#degradedSearches = new Counter({
      name: 'flotilla_search_degraded_total',
      help: 'Searches that were answered without all shards, as the caller allowed.',
      registers,
    });
    this.#fanOut = new Histogram({
      name: 'flotilla_search_fan_out_duration_seconds',
      help: 'Time until the last shard of a search has answered.',
      buckets: SEARCH_BUCKETS_SECONDS,
      registers,
    });
    this.#merge = new Histogram({
      name: 'flotilla_search_merge_duration_seconds',
      help: 'Time to merge the hits of all shards of a search.',
      buckets: MERGE_BUCKETS_SECONDS,
      registers,
    });
    this.#expired = new Counter({
      name: 'flotilla_expired_records_total',
      help: 'Records that this node, as the leader of their shard, has deleted when they expired.',
      labelNames: ['shard'],
      registers,
    });
    const shardCalls = this.#shardCalls;
    new Counter({
      name: 'flotilla_shard_calls_total',
      help: 'Replicas that the router has asked, on this node (local) or another one (remote).',
      labelNames: ['operation', 'place'],
      registers,
      collect() {
        this.reset();
        for (const [operation, { local, remote }] of shardCalls) {
          this.inc({ operation, place: 'local' }, local);
          this.inc({ operation, place: 'remote' }, remote);
        }
      },
    });
    new Gauge({
      name: 'flotilla_build_info',
      help: 'Always 1; the labels say which node runs which version.',
      labelNames: ['version', 'node'],
      registers,
    }).set({ version, node: String(nodeId) }, 1);
  }

  /** Adds what the index library was compiled for. Once per registry. */
  describeEngine(instructionSet: string): void {
    new Gauge({
      name: 'flotilla_engine_info',
      help: 'Always 1; the label says which instructions the index library was compiled for.',
      labelNames: ['instruction_set'],
      registers: [this.registry],
    }).set({ instruction_set: instructionSet }, 1);
  }

  /** Counts a call that is over. `method` is service and name, such as "Records/Search". */
  callFinished(method: string, code: ErrorCode | 'OK', seconds: number): void {
    const labels = { method, code };
    this.#calls.observe(labels, seconds);
    if (!SEARCH_METHODS.has(method)) return;
    this.#searches.observe(labels, seconds);
    if (code !== 'OK') this.#failedSearches.inc(labels);
  }

  searchDegraded(): void {
    this.#degradedSearches.inc();
  }

  /** For the router: a replica was asked. A number here, a sample when it is scraped: it is hot. */
  shardAsked(operation: string, place: 'local' | 'remote'): void {
    let counts = this.#shardCalls.get(operation);
    if (counts === undefined) {
      counts = { local: 0, remote: 0 };
      this.#shardCalls.set(operation, counts);
    }
    counts[place]++;
  }

  /** For the router: time until the last shard of a search has answered. */
  fanOutFinished(seconds: number): void {
    this.#fanOut.observe(seconds);
  }

  /** For the router: time to merge the hits of all shards. */
  mergeFinished(seconds: number): void {
    this.#merge.observe(seconds);
  }

  recordsExpired(shardId: number, records: number): void {
    this.#expired.inc({ shard: String(shardId) }, records);
  }

  /** Adds the gauges of the gRPC server. Once per registry. */
  watchServer({ inflight, connections }: ServerGauges): void {
    const registers = [this.registry];
    new Gauge({
      name: 'flotilla_requests_in_flight',
      help: 'Requests that the node works on now.',
      registers,
      collect() {
        this.set(inflight());
      },
    });
    new Gauge({
      name: 'flotilla_client_connections',
      help: 'Open client connections.',
      registers,
      collect() {
        this.set(connections());
      },
    });
  }

  /** Adds the gauges of Raft groups, shards and collections. Once per registry. */
  watchCluster(source: RaftMetricsSource): void {
    new ClusterMetrics(this.registry, source);
  }
}

/** Adds what prom-client knows of the process. For a process's one registry only. */
export function addProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED_DEFAULTS) registry.removeSingleMetric(name);
}
