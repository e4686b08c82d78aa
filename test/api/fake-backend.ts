/** A backend in memory, with brute-force search, and switches for what should go wrong. */
import type {
  BackendQuery,
  BackendScroll,
  CallOptions,
  ClusterAdmin,
  CountAnswer,
  DeleteByFilterAnswer,
  GroupName,
  LeaderAction,
  NewRecord,
  RecordPatch,
  RecordsBackend,
  ReplicaAction,
  ScrollAnswer,
  SearchAnswer,
  SearchOptions,
  StoredRecord,
  TenantAction,
  TenantPage,
  WriteOptions,
} from '../../src/server/backend.js';
import { floatsOf } from '../../src/shared/bytes.js';
import type { ClusterStatus, CollectionInfo } from '../../src/shared/codec/admin-messages.js';
import type { ExplainResponse, ShardExplanation } from '../../src/shared/codec/explain-messages.js';
import { decodeFilter } from '../../src/shared/codec/filter-bytes.js';
import type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaChangeStatus,
  ReplicaResponse,
} from '../../src/shared/codec/replica-messages.js';
import type { Routes, RoutesRequest } from '../../src/shared/codec/routes-messages.js';
import type { HitMessage } from '../../src/shared/codec/search-messages.js';
import { decodeStruct } from '../../src/shared/codec/struct.js';
import type {
  CountTenantsResponse,
  DescribeTenantsRequest,
  TenantChangeResponse,
  TenantsDescription,
} from '../../src/shared/codec/tenant-messages.js';
import type { ShardVerification, VerifyResponse } from '../../src/shared/codec/verify-messages.js';
import type { SeenShard, ServedShard } from '../../src/shared/consistency.js';
import { FlotillaError } from '../../src/shared/errors.js';
import { matches } from '../../src/shared/filter.js';
import type { ScrollPosition } from '../../src/shared/scroll-position.js';
import type { CollectionConfig, WriteOutcome } from '../../src/shared/types.js';

export const COLLECTION: CollectionConfig = {
  name: 'notes',
  dimension: 4,
  metric: 'cosine',
  m: 16,
  efConstruction: 200,
  indexedFields: [
    { path: 'year', type: 'integer' },
    { path: 'topic', type: 'keyword' },
  ],
};

export const EXPLANATION: ShardExplanation = {
  shardId: 1,
  plan: 'graph-filtered',
  reason: 'many records match',
  records: 1_000,
  estimatedMatches: 300,
  matches: 312,
  indexedFields: ['year'],
  scannedFields: ['colour'],
  visited: 200,
  compared: 17,
  durationMs: 1.5,
  choice: 'leader',
  waitedMs: 0.25,
  networkMs: 0.5,
  foundHits: 10,
  usedHits: 4,
};

/** What an explanation tells besides. */
export const EXPLAINED = {
  skipped: [{ shardId: 3, why: 'tenant' }],
  attempts: [{ shardId: 1, nodeId: 2, choice: 'next', reason: 'NOT_LEADER', durationMs: 0.125 }],
  stages: { routeMs: 0.5, fanOutMs: 2.25, mergeMs: 0.125 },
  cache: { verdict: 'miss', reason: 'nothing is kept of this search' },
} as const;

/** When the backend takes all of its records to have been written. */
export const WRITTEN_AT_MS = Date.UTC(2026, 0, 31);

/** What each answer says of where it comes from, and of what was written. */
export const SERVED: readonly ServedShard[] = [
  { shardId: 0, nodeId: 2, ownershipVersion: 1, appliedIndex: 70, ageMs: 12 },
  { shardId: 1, nodeId: 3, ownershipVersion: 1, appliedIndex: 9 },
];
export const WRITTEN: readonly SeenShard[] = [
  { shardId: 1, ownershipVersion: 1, appliedIndex: 300 },
];

const ALL_SHARDS = { total: 2, ok: 2, failed: [] };

export const CHANGE: ReplicaChangeStatus = {
  stage: 'catching-up',
  addReplicaId: 4,
  addNodeId: 2,
  removeReplicaId: 2,
  removeNodeId: 2,
  lagEntries: 10,
  doneBytes: 1_024,
  sizeBytes: 4_096,
  bytesPerSecond: 512,
  leftMs: 6_000,
  problem: '',
  id: 4,
};

export const ROUTES: Routes = {
  clusterId: 'c1',
  epoch: 7,
  answeredBy: 1,
  nodes: [{ nodeId: 1, clientAddress: 'node-1' }],
  shards: [
    { shardId: 0, leaderNodeId: 1, replicaNodeIds: [1, 2] },
    { shardId: 1, leaderNodeId: 0, replicaNodeIds: [] },
  ],
};

type VerifyScope = Parameters<ClusterAdmin['verify']>[0];

export const VERIFIED: ShardVerification = {
  shardId: 1,
  index: 12,
  problem: '',
  replicas: [
    { nodeId: 1, problem: '' },
    { nodeId: 2, problem: '' },
    { nodeId: 3, problem: 'it does not answer' },
  ],
  slots: 7,
  differences: [
    {
      collection: 'things',
      slot: 5,
      holdings: [
        { nodeId: 1, records: 2, hash: '0'.repeat(31).concat('1') },
        { nodeId: 2, records: 2, hash: '0'.repeat(31).concat('2') },
      ],
    },
  ],
  damages: [],
};

export class FakeBackend implements RecordsBackend, ClusterAdmin {
  readonly collections = new Map<string, CollectionConfig>([
    [COLLECTION.name, COLLECTION],
    ['plain', { ...COLLECTION, name: 'plain', metric: 'l2' }],
  ]);
  readonly records = new Map<string, StoredRecord>();
  /** Names of the calls that came through the door, in order. */
  readonly calls: string[] = [];
  readonly writes: WriteOptions[] = [];
  lastOptions: CallOptions | undefined;
  /** Runs before each call; throws or waits to make it fail or hang. */
  before: (call: string, options: CallOptions) => void | Promise<void> = () => undefined;
  /** Changes outcomes of writes before they are answered. */
  outcomes: (outcomes: readonly WriteOutcome[]) => readonly WriteOutcome[] = (all) => all;
  degraded = false;
  #version = 0n;

  collection(name: string): CollectionConfig {
    const config = this.collections.get(name);
    if (config === undefined) {
      throw new FlotillaError('COLLECTION_NOT_FOUND', `there is no collection ${name}`);
    }
    return config;
  }

  /** What the cluster knows and this node does not yet. */
  readonly newest = new Map<string, CollectionConfig>();

  async newestCollection(name: string): Promise<CollectionConfig> {
    const config = this.newest.get(name);
    if (config !== undefined) this.collections.set(name, config);
    return this.collection(name);
  }

  async upsert(_collection: string, records: readonly NewRecord[], options: WriteOptions) {
    await this.#enter('upsert', options);
    this.writes.push(options);
    const outcomes = records.map(({ id, values, metadata, ttlMs = 0 }): WriteOutcome => {
      const existed = this.records.has(id);
      const version = ++this.#version;
      this.records.set(id, {
        id,
        version,
        values,
        ...(metadata.length > 0 && { metadata }),
        ...(ttlMs > 0 && { expiresAtMs: WRITTEN_AT_MS + ttlMs }),
      });
      return { kind: 'applied', version, existed };
    });
    return { outcomes: this.outcomes(outcomes), written: WRITTEN };
  }

  readonly patches: RecordPatch[] = [];

  async patch(_collection: string, patches: readonly RecordPatch[], options: WriteOptions) {
    await this.#enter('patch', options);
    this.writes.push(options);
    this.patches.push(...patches);
    const outcomes = patches.map((): WriteOutcome => {
      return { kind: 'applied', version: ++this.#version, existed: true };
    });
    return { outcomes: this.outcomes(outcomes), written: WRITTEN };
  }

  async verify(scope: VerifyScope): Promise<VerifyResponse> {
    this.calls.push(`verify ${JSON.stringify(scope)}`);
    return { shards: [VERIFIED] };
  }

  async delete(_collection: string, ids: readonly string[], options: WriteOptions) {
    await this.#enter('delete', options);
    this.writes.push(options);
    const outcomes = ids.map((id): WriteOutcome => {
      return { kind: 'applied', version: ++this.#version, existed: this.records.delete(id) };
    });
    return { outcomes: this.outcomes(outcomes), written: WRITTEN };
  }

  async fetch(
    _collection: string,
    ids: readonly string[],
    include: { readonly values: boolean; readonly metadata: boolean },
    options: CallOptions,
  ) {
    await this.#enter('fetch', options);
    const records = ids.map((id) => {
      const record = this.records.get(id);
      return record && selected(record, include);
    });
    return { records, served: SERVED };
  }

  async search(
    _collection: string,
    queries: readonly BackendQuery[],
    options: CallOptions,
  ): Promise<SearchAnswer> {
    await this.#enter('search', options);
    const shards = this.degraded ? { total: 2, ok: 1, failed: [1] } : ALL_SHARDS;
    const results = queries.map((query) => this.#hits(query));
    const cutQueries = queries.flatMap(({ shardK }, at) => (shardK === undefined ? [] : [at]));
    const source = { shards, degraded: this.degraded, epoch: 7, served: SERVED };
    return { results, cutQueries, ...source };
  }

  async count(
    collection: string,
    filter: Uint8Array | undefined,
    options: CallOptions,
  ): Promise<CountAnswer> {
    await this.#enter('count', options);
    return { count: this.#matching(collection, filter).length, served: SERVED };
  }

  async scroll(
    collection: string,
    query: BackendScroll,
    options: CallOptions,
  ): Promise<ScrollAnswer> {
    await this.#enter('scroll', options);
    const { after, limit, includeValues: values, includeMetadata: metadata } = query;
    const { records, ...rest } = this.#page(collection, query.filter, after, limit);
    const page = records.map((record) => selected(record, { values, metadata }));
    return { records: page, ...rest, epoch: 7, served: SERVED };
  }

  /** Deletes two records a call. */
  async deleteByFilter(
    collection: string,
    { filter, after }: { readonly filter: Uint8Array; readonly after?: ScrollPosition },
    options: CallOptions,
  ): Promise<DeleteByFilterAnswer> {
    await this.#enter('deleteByFilter', options);
    const { records, ...rest } = this.#page(collection, filter, after, 2);
    for (const { id } of records) this.records.delete(id);
    return { deletedCount: records.length, written: WRITTEN, ...rest };
  }

  async explain(
    _collection: string,
    query: BackendQuery,
    options: SearchOptions,
  ): Promise<ExplainResponse> {
    await this.#enter('explain', options);
    this.#hits(query);
    const degraded = this.degraded && options.allowPartial;
    const failed = degraded ? [0] : [];
    const shards = [EXPLANATION];
    return { ...EXPLAINED, shards, epoch: 7, failed, degraded, served: SERVED };
  }

  async createCollection(config: CollectionConfig, options: CallOptions): Promise<CollectionInfo> {
    await this.#enter('createCollection', options);
    this.collections.set(config.name, config);
    return { config, recordCount: 0, state: 'active' };
  }

  async dropCollection(name: string, options: CallOptions): Promise<void> {
    await this.#enter('dropCollection', options);
    this.collection(name);
    this.collections.delete(name);
  }

  async listCollections(options: CallOptions): Promise<CollectionInfo[]> {
    await this.#enter('listCollections', options);
    return [...this.collections.values()].map((config) => ({ config, state: 'active' }));
  }

  async describeCollection(name: string, options: CallOptions): Promise<CollectionInfo> {
    await this.#enter('describeCollection', options);
    return { config: this.collection(name), recordCount: this.records.size, state: 'active' };
  }

  async status(options: CallOptions): Promise<ClusterStatus> {
    await this.#enter('status', options);
    return STATUS;
  }

  clusterId: () => string | undefined = () =>
    this.routesOf({ collection: '', tenant: '' }).clusterId;

  /** What `routes` answers. */
  routesOf: (request: RoutesRequest) => Routes = () => ROUTES;

  routes(request: RoutesRequest): Routes {
    return this.routesOf(request);
  }

  async changeReplicas(
    action: ReplicaAction,
    group: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse> {
    await this.#enter(`${action} ${JSON.stringify(group)} ${nodeId}`, options);
    return { change: CHANGE, epoch: 8 };
  }

  async cancelReplicaChange(
    group: GroupName,
    changeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse> {
    await this.#enter(`cancel ${JSON.stringify(group)} ${changeId}`, options);
    return { change: CHANGE, epoch: 8 };
  }

  async changeLeader(
    action: LeaderAction,
    group: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<LeaderResponse> {
    await this.#enter(`${action} ${JSON.stringify(group)} ${nodeId}`, options);
    return { leaderNodeId: 3 };
  }

  async changeTenants(
    action: TenantAction,
    by: string,
    options: CallOptions,
  ): Promise<TenantChangeResponse> {
    await this.#enter(`${action.kind} by ${by}`, options);
    return { changed: true, epoch: 7 };
  }

  async cancelTenantChange(changeId: number, options: CallOptions): Promise<TenantChangeResponse> {
    await this.#enter(`cancel tenant change ${changeId}`, options);
    return { changed: true, epoch: 7 };
  }

  async describeTenants(
    { withoutUsage }: DescribeTenantsRequest,
    options: CallOptions,
  ): Promise<TenantsDescription> {
    await this.#enter(`describe tenants${withoutUsage ? ' without usage' : ''}`, options);
    return { assignments: [], dedicatedShards: [], shards: [], findings: [], audit: [] };
  }

  async countTenants(
    collection: string,
    page: TenantPage,
    options: CallOptions,
  ): Promise<CountTenantsResponse> {
    await this.#enter(`count tenants of ${collection}, ${page.limit}`, options);
    return { counts: [{ tenant: 'acme', shardId: 1, records: 3 }], hasMore: false };
  }

  async readmitNode(nodeId: number, options: CallOptions): Promise<ReadmitNodeResponse> {
    await this.#enter(`readmit ${nodeId}`, options);
    return { storeId: 'new', replicas: 2 };
  }

  async #enter(call: string, options: CallOptions): Promise<void> {
    this.calls.push(call);
    this.lastOptions = options;
    await this.before(call, options);
  }

  #matching(collection: string, filter: Uint8Array | undefined): StoredRecord[] {
    const { indexedFields } = this.collection(collection);
    const records = [...this.records.values()];
    if (filter === undefined) return records;
    const wanted = decodeFilter(filter, indexedFields);
    return records.filter(({ metadata = new Uint8Array(0) }) =>
      matches(wanted, decodeStruct(metadata), indexedFields),
    );
  }

  /** Up to `limit` records by id, and where to go on where there are more. */
  #page(
    collection: string,
    filter: Uint8Array | undefined,
    after: ScrollPosition | undefined,
    limit: number,
  ): { records: StoredRecord[]; next?: ScrollPosition } {
    const rest = this.#matching(collection, filter)
      .filter(({ id }) => id > (after?.id ?? ''))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const records = rest.slice(0, limit);
    const last = records.at(-1);
    const isEnd = last === undefined || rest.length <= limit;
    return { records, ...(!isEnd && { next: { id: last.id, tenant: '' } }) };
  }

  #hits(query: BackendQuery): HitMessage[] {
    const near = query.vector ?? this.records.get(query.id ?? '')?.values;
    if (near === undefined) throw new FlotillaError('RECORD_NOT_FOUND', 'there is no such record');
    const target = floatsOf(near);
    const include = { values: query.includeValues, metadata: query.includeMetadata };
    return this.#matching(COLLECTION.name, query.filter)
      .map((record) => {
        const values = floatsOf(record.values ?? new Uint8Array(0));
        const distance = values.reduce((sum, x, at) => sum + (x - (target[at] ?? 0)) ** 2, 0);
        return { ...selected(record, include), distance: Math.fround(distance) };
      })
      .filter(({ distance }) => distance <= (query.scoreThreshold ?? Number.POSITIVE_INFINITY))
      .sort((a, b) => a.distance - b.distance)
      .slice(query.offset, query.offset + query.k);
  }
}

function selected(
  { values, metadata, ...record }: StoredRecord,
  include: { readonly values: boolean; readonly metadata: boolean },
): StoredRecord {
  return {
    ...record,
    ...(include.values && values !== undefined && { values }),
    ...(include.metadata && metadata !== undefined && { metadata }),
  };
}

const REPLICA = {
  nodeId: 1,
  replicaId: 2,
  state: 'leader',
  term: 3,
  commitIndex: 40,
  appliedIndex: 39,
  lastIndex: 41,
  lagEntries: 0,
  fault: '',
  contentHash: '0123456789abcdef0123456789abcdef',
  contentIndex: 39,
  engine: {
    headRows: 12,
    graphPoints: 40,
    graphTombstones: 2,
    renewing: false,
    graphsLoading: 1,
    graphsRebuilding: 0,
  },
};

export const STATUS: ClusterStatus = {
  clusterId: 'c1',
  epoch: 5,
  answeredBy: 1,
  nodes: [
    {
      nodeId: 1,
      peerAddress: '127.0.0.1:7701',
      clientAddress: '127.0.0.1:7700',
      httpAddress: '127.0.0.1:7702',
      reachable: true,
      instructionSet: 'avx2',
      distancesPerSecond: 12_345_678,
      zone: '',
    },
  ],
  shards: [
    {
      shardId: 1,
      leaderNodeId: 1,
      term: 3,
      slots: 1_024,
      recordCount: 9,
      replicas: [REPLICA],
      change: CHANGE,
    },
  ],
  topology: { shardId: 0, leaderNodeId: 1, term: 2, slots: 0, recordCount: 0, replicas: [REPLICA] },
  healthy: true,
};
