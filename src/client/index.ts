/** The TypeScript client. */
export type {
  ClusterStatus,
  CollectionInfo,
  CollectionState,
  NodeStatus,
  ReplicaStatus,
  ShardStatus,
} from '../shared/codec/admin-messages.js';
export type { ExplainResponse, ShardExplanation } from '../shared/codec/explain-messages.js';
export type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaChangeStatus,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
export type { ShardSummary } from '../shared/codec/search-messages.js';
export type {
  ShardVerification,
  SlotDamage,
  SlotDifference,
  SlotHolding,
  VerifiedReplica,
} from '../shared/codec/verify-messages.js';
export type { ErrorCode, ErrorOutcome, ErrorReason } from '../shared/error-codes.js';
export { FlotillaError, isFlotillaError } from '../shared/errors.js';
export type {
  CollectionConfig,
  FieldType,
  IndexedField,
  Metric,
  ReadConsistency,
} from '../shared/types.js';
export {
  Collection,
  type CountOptions,
  type DeleteByFilterOptions,
  type FetchOptions,
  type Hit,
  type Query,
  type ReadOptions,
  type ScrollOptions,
  type ScrollPage,
  type SearchBatchResult,
  type SearchOptions,
  type SearchResult,
  type SearchSource,
  type StoredRecord,
} from './collection.js';
export {
  type ChangePlace,
  Flotilla,
  type GroupPlace,
  type LeaderPlace,
  type NewCollection,
  type ReplicaPlace,
  type VerifyOptions,
} from './flotilla.js';
export type { CallOptions, FlotillaOptions, RetryOptions } from './options.js';
export type { Metadata, MetadataShape } from './values.js';
export type { Where, WhereOperators } from './where.js';
export type {
  MetadataPatch,
  NewRecord,
  RecordOutcome,
  UpsertOptions,
  VersionedId,
  WriteResult,
} from './writes.js';
