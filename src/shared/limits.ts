/**
 * Every limit of Flotilla, in one place. Each is checked at the door, documented in
 * docs/limits.md (generated from here) and tested one below, at and one above. Those of the
 * settings of a collection are held by logs too: collection-settings.ts says how they may change.
 */

export interface Limit {
  readonly value: number;
  readonly unit: string;
  readonly what: string;
}

const limit = (value: number, unit: string, what: string): Limit => ({ value, unit, what });

export const LIMITS = {
  dimensionMax: limit(4_096, 'floats', 'dimension of a collection'),
  collectionNameBytesMax: limit(255, 'bytes', 'name of a collection'),
  collectionsMax: limit(1_000, 'collections', 'collections of a cluster'),
  indexedFieldsMax: limit(64, 'fields', 'declared metadata fields of a collection'),
  fieldPathBytesMax: limit(512, 'bytes', 'path of a metadata field'),
  mMin: limit(2, 'links', 'HNSW parameter m, lower bound'),
  mMax: limit(128, 'links', 'HNSW parameter m, upper bound'),
  efConstructionMax: limit(4_096, 'candidates', 'HNSW parameter efConstruction'),
  idBytesMax: limit(512, 'bytes', 'id of a record'),
  metadataBytesMax: limit(65_536, 'bytes', 'metadata of a record, encoded'),
  metadataDepthMax: limit(16, 'levels', 'nesting of metadata'),
  ttlMsMax: limit(3_153_600_000_000, 'ms', 'ttl of a record or a collection: 100 years'),
  idempotencyKeyBytesMax: limit(128, 'bytes', 'client id of an idempotency key'),
  clientStampAheadMax: limit(300_000, 'ms', 'lead of a client stamp on the clock of the node'),
  upsertRecordsMax: limit(10_000, 'records', 'records of one upsert'),
  patchRecordsMax: limit(10_000, 'records', 'records of one patch'),
  deleteIdsMax: limit(10_000, 'ids', 'ids of one delete'),
  fetchIdsMax: limit(10_000, 'ids', 'ids of one fetch'),
  searchBatchMax: limit(256, 'queries', 'queries of one search batch'),
  searchBatchHitsMax: limit(100_000, 'hits', 'k of all queries of a batch, offsets included'),
  kMax: limit(10_000, 'hits', 'k of a search, offset included'),
  shardKMax: limit(10_000, 'hits', 'shardK of a search: hits that each shard is asked for'),
  scopeShardKeysMax: limit(
    256,
    'keys',
    'shard keys that a search, count, scroll or delete is about',
  ),
  cachedEventualMsMax: limit(1_000, 'ms', 'time for which a cached answer is served as eventual'),
  efMax: limit(16_384, 'candidates', 'ef of a search'),
  headFloatsMax: limit(
    262_144,
    'floats',
    'vectors of a collection on a shard that wait for the graph, each at least as 64',
  ),
  headSpareFloatsMax: limit(
    1_048_576,
    'floats',
    'the same, more of them, while a file of the graph is written or read',
  ),
  filterDepthMax: limit(16, 'levels', 'nesting of a filter: $and, $or, $not and several keys'),
  filterConditionsMax: limit(256, 'conditions', 'conditions of a filter'),
  filterInValuesMax: limit(4_096, 'values', 'values of a $in or $nin'),
  filterBytesMax: limit(65_536, 'bytes', 'a filter, encoded'),
  scrollLimitMax: limit(1_000, 'records', 'records of one page of a scroll'),
  scrollBytesMax: limit(4 * 1024 * 1024, 'bytes', 'page of a scroll, which then ends early'),
  boundedMsMax: limit(86_400_000, 'ms', 'age that a bounded read may allow: a day'),
  requestBytesMax: limit(64 * 1024 * 1024, 'bytes', 'one request or answer on the wire'),
  entryBytesMax: limit(1024 * 1024, 'bytes', 'one entry of a shard log'),
  frameBytesMax: limit(64 * 1024 * 1024, 'bytes', 'one frame between two nodes'),
  nodesMax: limit(48, 'nodes', 'nodes of a cluster'),
  zoneBytesMax: limit(64, 'bytes', 'name of the zone of a node'),
  shardsMax: limit(256, 'shards', 'shards of a cluster'),
  replicationFactorMax: limit(7, 'replicas', 'replicas of a shard'),
  topologyVotersMax: limit(5, 'replicas', 'voters of the topology: five survive two failures'),
  slots: limit(1_024, 'slots', 'slots of a placement'),
  virtualNodesMax: limit(1_000, 'points', 'virtual nodes of a shard on the hash ring'),
  rangesMax: limit(4_096, 'ranges', 'ranges of a placement'),
  tenantAssignmentsMax: limit(10_000, 'tenants', 'tenants of a placement assigned to a shard'),
  tenantAssignmentBytesMax: limit(262_144, 'bytes', 'names of all tenants that are assigned'),
  tenantAuditMax: limit(1_000, 'entries', 'audit log of tenants; the oldest make room'),
  tenantAuthorBytesMax: limit(256, 'bytes', 'who a change of tenants is made by'),
  tenantsListMax: limit(1_000, 'tenants', 'tenants of one page of counts'),
  splitPointsBytesMax: limit(131_072, 'bytes', 'all split points of a collection'),
  routingKeyBytesMax: limit(512, 'bytes', 'tenant, shard key or split point of a placement'),
  sessionsMax: limit(4_096, 'clients', 'idempotency sessions remembered by a shard'),
  sessionRequestsMax: limit(1_024, 'requests', 'unanswered requests remembered for a client'),
  sessionBytesMax: limit(32 * 1024 * 1024, 'bytes', 'all sessions that a shard remembers'),
  uncommittedBytesMax: limit(64 * 1024 * 1024, 'bytes', 'entries of a group not yet committed'),
  pendingReadsMax: limit(16_384, 'reads', 'reads of a group waiting for a quorum round'),
  inflightRequestsMax: limit(4_096, 'requests', 'requests that one node works on at once'),
  streamCallsMax: limit(
    1_024,
    'calls',
    'calls of one client stream that one node works on at once',
  ),
  streamAnswerBytesMax: limit(
    64 * 1024 * 1024,
    'bytes',
    'answers of one client stream that wait until its client reads them',
  ),
  callHeadersMax: limit(64, 'headers', 'headers of one call on a stream'),
  inflightBytesMax: limit(
    512 * 1024 * 1024,
    'bytes',
    'all requests that one node works on at once',
  ),
  diskLowWaterPercent: limit(10, 'percent', 'free disk below which proposals are refused'),
  diskLowWaterBytes: limit(1024 * 1024 * 1024, 'bytes', 'the same, where that is less'),
  diskReserveBytes: limit(64 * 1024 * 1024, 'bytes', 'disk that is kept for opening a full store'),
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof LIMITS;
