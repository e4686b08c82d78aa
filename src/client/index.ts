/** The TypeScript client. */
export type {
  ClusterStatus,
  CollectionInfo,
  CollectionState,
  NodeStatus,
  ReplicaStatus,
  ShardStatus,
} from '../shared/codec/admin-messages.js';
export type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaChangeStatus,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
export type { ShardSummary } from '../shared/codec/search-messages.js';
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
  type FetchOptions,
  type Hit,
  type Metadata,
  type NewRecord,
  type Query,
  type ReadOptions,
  type RecordOutcome,
  type SearchBatchResult,
  type SearchOptions,
  type SearchResult,
  type SearchSource,
  type StoredRecord,
  type WriteResult,
} from './collection.js';
export {
  type ChangePlace,
  Flotilla,
  type GroupPlace,
  type LeaderPlace,
  type NewCollection,
  type ReplicaPlace,
} from './flotilla.js';
export type { CallOptions, FlotillaOptions, RetryOptions } from './options.js';
