/**
 * The data of one shard replica: records of all collections, their HNSW graphs, sessions. The
 * shard's replica talks to it through this interface; in production it runs in a worker thread.
 */
import type { StateMachine } from '../shared/state-machine.js';
import type { ErrorBody, Version, WriteOutcome } from '../shared/types.js';

/** What a shard starts from; the same on all replicas, part of the replicated state. */
export interface ShardGenesis {
  readonly shardId: number;
  readonly ownershipVersion: number;
  /** The slots that the shard owns, ascending. */
  readonly slots: readonly number[];
}

/** What applying an entry answers. */
export type CommandResult =
  | {
      readonly kind: 'write';
      /** By ordinal of the caller's request. */
      readonly outcomes: readonly { readonly ordinal: number; readonly outcome: WriteOutcome }[];
    }
  /** The whole entry was refused, deterministically: nothing of it was applied. */
  | { readonly kind: 'refused'; readonly error: ErrorBody }
  | { readonly kind: 'done' };

export interface RecordKey {
  readonly slot: number;
  readonly tenant: string;
  readonly id: string;
}

export interface StoredRecord {
  readonly tenant: string;
  readonly id: string;
  readonly version: Version;
  /** Little-endian float32, as written. Absent when not asked for. */
  readonly values?: Uint8Array;
  /** Encoded `google.protobuf.Struct`. Absent when not asked for. */
  readonly metadata?: Uint8Array;
}

export interface SearchQuery {
  /** Little-endian float32 of the collection's dimension, finite. */
  readonly vector: Uint8Array;
  readonly k: number;
  /** HNSW candidates; at least `k` are used. 0 for the engine's default. */
  readonly ef: number;
  /** Hits farther than this are left out. */
  readonly scoreThreshold?: number;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

export interface Hit extends StoredRecord {
  /** Smaller is closer, in every metric. */
  readonly distance: number;
}

/** Every read says which table the asker used; the engine refuses another ("ownership version"). */
export interface ReadScope {
  readonly collectionId: number;
  readonly ownershipVersion: number;
}

export interface CollectionStats {
  readonly collectionId: number;
  readonly records: number;
  /** Points in the graph, deleted ones included. */
  readonly graphPoints: number;
}

export interface EngineStats {
  readonly appliedIndex: number;
  readonly ownershipVersion: number;
  readonly collections: readonly CollectionStats[];
  readonly sessions: number;
}

/** How far a replica's state goes. */
export interface AppliedState {
  readonly appliedIndex: number;
  /** The highest version of an applied entry, deletes too; 0 for none. Leaders go on above it. */
  readonly lastVersion: Version;
}

/**
 * Reads see all that was applied before the call. They reject with `FlotillaError`:
 * COLLECTION_NOT_FOUND, STALE_TOPOLOGY (another ownership version), DIMENSION_MISMATCH.
 */
export interface Engine extends StateMachine<CommandResult> {
  open(): Promise<AppliedState>;
  installSnapshot(path: string): Promise<AppliedState>;
  /** One array of hits per query, each ascending by distance, then id. */
  search(scope: ReadScope, queries: readonly SearchQuery[]): Promise<Hit[][]>;
  /** One element per key, `undefined` where there is no such record. */
  fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: { values: boolean; metadata: boolean },
  ): Promise<(StoredRecord | undefined)[]>;
  count(scope: ReadScope): Promise<number>;
  stats(): Promise<EngineStats>;
}
