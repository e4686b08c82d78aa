/** The TypeScript client. */
export type {
  ClusterStatus,
  CollectionInfo,
  CollectionState,
  NodeStatus,
  ReplicaStatus,
  ShardStatus,
} from '../shared/codec/admin-messages.js';
export type { EngineState } from '../shared/codec/engine-state.js';
export type {
  CacheVerdict,
  ExplainResponse,
  FailedAttempt,
  SearchStages,
  ShardExplanation,
  SkippedShard,
} from '../shared/codec/explain-messages.js';
export type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaChangeStatus,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
export type { ShardSummary } from '../shared/codec/search-messages.js';
export type {
  CountTenantsResponse,
  TenantChangeResponse,
  TenantsDescription,
} from '../shared/codec/tenant-messages.js';
export type {
  ShardVerification,
  SlotDamage,
  SlotDifference,
  SlotHolding,
  VerifiedReplica,
} from '../shared/codec/verify-messages.js';
export type { ServedShard } from '../shared/consistency.js';
export type { ErrorCode, ErrorOutcome, ErrorReason } from '../shared/error-codes.js';
export { FlotillaError, isFlotillaError } from '../shared/errors.js';
export type { Logger } from '../shared/logger.js';
export type {
  CollectionConfig,
  FieldType,
  IndexedField,
  Metric,
  PlacementName,
  ReadConsistency,
  RoutedBy,
} from '../shared/types.js';
export { Collection } from './collection.js';
export {
  type ChangePlace,
  Flotilla,
  type GroupPlace,
  type LeaderPlace,
  type NewCollection,
  type ReplicaPlace,
  type TenantAssignment,
  type TenantChangeOptions,
  type TenantCountOptions,
  type TenantDescriptionOptions,
  type TenantOptions,
  type VerifyOptions,
} from './flotilla.js';
export type {
  CallOptions,
  CallRouting,
  CallTransport,
  FlotillaOptions,
  RetryOptions,
} from './options.js';
export type { Consistency } from './read-session.js';
export type {
  CountOptions,
  DeleteByFilterOptions,
  FetchOptions,
  Hit,
  Query,
  ReadOptions,
  ScanOptions,
  ScrollOptions,
  ScrollPage,
  SearchBatchResult,
  SearchOptions,
  SearchResult,
  SearchSource,
  StoredRecord,
  TenantReadOptions,
} from './reads.js';
export type { SearchCall } from './search-call.js';
export type { Metadata, MetadataShape } from './values.js';
export type { Where, WhereOperators } from './where.js';
export type {
  MetadataChange,
  MetadataPatch,
  NewRecord,
  RecordName,
  RecordOutcome,
  UpsertOptions,
  VersionedId,
  WriteResult,
} from './writes.js';
