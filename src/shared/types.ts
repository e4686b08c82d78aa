/** The nouns that every room shares. Plain data; see ARCHITECTURE.md, "Words". */

/** How the distance of two vectors is measured. Smaller is closer in all three. */
export type Metric = 'l2' | 'cosine' | 'dot';

export const METRICS: readonly Metric[] = ['l2', 'cosine', 'dot'];

/**
 * How fresh a read is. `strong`: it sees every write that was acknowledged before it began.
 * `leased`: the same, as long as the clocks of the nodes run equally fast; cheaper where the
 * cluster setting `leases` is on, and served as `strong` where it is off.
 */
export type ReadConsistency = 'strong' | 'leased';

export const READ_CONSISTENCIES: readonly ReadConsistency[] = ['strong', 'leased'];

/** Type of a declared metadata field. */
export type FieldType = 'keyword' | 'integer' | 'float' | 'bool' | 'datetime';

export const FIELD_TYPES: readonly FieldType[] = [
  'keyword',
  'integer',
  'float',
  'bool',
  'datetime',
];

export interface IndexedField {
  /** Dotted path into the metadata. */
  readonly path: string;
  readonly type: FieldType;
}

/**
 * Which part of a record decides on which shard it is. `id`: records are spread one by one.
 * `shardKey`: records with one shard key are an entity group and stay together. `tenant`: all
 * records of a tenant do.
 */
export type RoutedBy = 'id' | 'shardKey' | 'tenant';

export const ROUTINGS: readonly RoutedBy[] = ['id', 'shardKey', 'tenant'];

/** How routing keys are spread over shards; docs/placement.md compares them. */
export type PlacementName = 'ring' | 'modulo' | 'rendezvous' | 'virtual-shards' | 'range';

export const PLACEMENT_NAMES: readonly PlacementName[] = [
  'ring',
  'modulo',
  'rendezvous',
  'virtual-shards',
  'range',
];

/** What a user chooses when a collection is created; never changed afterwards. */
export interface CollectionConfig {
  readonly name: string;
  /** Number of floats in each vector. */
  readonly dimension: number;
  /** @default 'cosine' */
  readonly metric: Metric;
  /** HNSW: links per point and layer. @default 16 */
  readonly m: number;
  /** HNSW: candidates kept while a point is inserted. @default 200 */
  readonly efConstruction: number;
  readonly indexedFields: readonly IndexedField[];
  /** How long records live that do not say it themselves, 1 or more. @default for ever */
  readonly ttlMs?: number;
  /** @default 'id', which is never written out: equal settings are equal values */
  readonly routing?: Exclude<RoutedBy, 'id'>;
  /** @default 'ring', which is never written out. No other one goes with routing by tenant. */
  readonly placement?: Exclude<PlacementName, 'ring'>;
  /** Of a placement by range: where the second range begins and so on, ascending. @default none */
  readonly splitPoints?: readonly string[];
}

/**
 * A hybrid logical clock: 48 bits of milliseconds, 16 bits of counter. Grows with every write of
 * a shard, and when a record moves to another shard. Decimal string on JSON and in the SDK.
 */
export type Version = bigint;

/**
 * What a write demands of its record, as that is when the write is applied. `version`: it exists
 * with exactly this version.
 */
export type WriteCondition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'exists' }
  | { readonly kind: 'version'; readonly version: Version };

/** What became of one record of a write. */
export type WriteOutcome =
  /** The write is on a quorum's disks and applied. `version` is the record's new version. */
  | { readonly kind: 'applied'; readonly version: Version; readonly existed: boolean }
  /** The write has not happened on any replica and never will. */
  | { readonly kind: 'not-applied'; readonly error: ErrorBody }
  /** The write may or may not happen; sending it again with the same key is safe. */
  | { readonly kind: 'unknown'; readonly error: ErrorBody };

/** An error as plain data, as it crosses threads and nodes. `FlotillaError` wraps it. */
export interface ErrorBody {
  readonly reason: import('./error-codes.js').ErrorReason;
  readonly message: string;
  /** Path of the request's field that is wrong, such as `records[3].values`. */
  readonly field?: string;
  /** The limit that was hit, as in docs/limits.md, and its value. */
  readonly limit?: { readonly name: string; readonly value: number };
  /** Further facts: a leader's node id, a newer epoch, a current version. */
  readonly details?: Readonly<Record<string, string>>;
}
