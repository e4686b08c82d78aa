/**
 * The data of one shard replica: records of all collections, their HNSW graphs, sessions. The
 * shard's replica talks to it through this interface; in production it runs in a worker thread.
 */

import type { RecordVersion } from '../shared/codec/command.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { SessionReach } from '../shared/session-reach.js';
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
  /** How many of the records of an `expire` were there in the version that it names. */
  | { readonly kind: 'expired'; readonly removed: number }
  /** `reach` is told by a shard that owns less now: who owns more has to know it (O5). */
  | { readonly kind: 'done'; readonly reach?: SessionReach };

export interface RecordKey {
  readonly slot: number;
  readonly tenant: string;
  readonly id: string;
}

export interface StoredRecord {
  readonly tenant: string;
  readonly id: string;
  readonly version: Version;
  /** When it is to be deleted, by wall clocks; absent for never. */
  readonly expiresAtMs?: number;
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
  /** An encoded `google.protobuf.Struct`, as `decodeFilter` reads it. Absent: every record. */
  readonly filter?: Uint8Array;
  /** Only records of this tenant. Absent: of all tenants. */
  readonly tenant?: string;
  /** Only records of these shard keys, which ids begin with (`shardKeyOf`). Absent: all. */
  readonly shardKeys?: readonly string[];
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

/** A record without its expiry, which would have to be looked up for each. */
export interface Hit extends Omit<StoredRecord, 'expiresAtMs'> {
  /** Smaller is closer, in every metric. */
  readonly distance: number;
}

/** Which records a read is about. Nothing in it: all of the collection. */
export interface Selection {
  /** As in `SearchQuery`. */
  readonly filter?: Uint8Array;
  /** As in `SearchQuery`. */
  readonly tenant?: string;
  /** As in `SearchQuery`. */
  readonly shardKeys?: readonly string[];
}

export interface ScrollQuery extends Selection {
  /** Only records that come after it; it need not exist. Absent: from the first on. */
  readonly after?: ScrollPosition;
  /** Records of the page, at least 1. */
  readonly limit: number;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

export interface ScrollPage {
  /** In the order of `comparePositions`. */
  readonly records: readonly StoredRecord[];
  /**
   * Up to where the page looked; absent where it looked at everything. There may be nothing after
   * it, and a page may end, and be empty, before it has `limit` records.
   */
  readonly next?: ScrollPosition;
}

/**
 * How a query is carried out. Which plan is chosen depends on the replica and the machine, what is
 * answered does not.
 *
 * `graph`: no filter, the graph and the head. `graph-filtered`: the same, leaving out what does
 * not match. `exact-rows`: the distance of each match. `scan`: all stored records are read.
 */
export type PlanKind = 'graph' | 'graph-filtered' | 'exact-rows' | 'scan';

export const PLAN_KINDS: readonly PlanKind[] = ['graph', 'graph-filtered', 'exact-rows', 'scan'];

/** What a search did, for `explain`. */
export interface Explanation {
  readonly plan: PlanKind;
  /** One sentence: why this plan, or why it was left for another one on the way. */
  readonly reason: string;
  /** Live records of the collection here; of the query's tenant, where it has one. */
  readonly records: number;
  /** How many of them were expected to match before the search began. */
  readonly estimatedMatches: number;
  /** How many do; absent where the search did not come to know. */
  readonly matches?: number;
  /** Paths of the filter that a payload index answers. */
  readonly indexedFields: readonly string[];
  /** Paths of the filter that stored metadata are read for: they are not declared. */
  readonly scannedFields: readonly string[];
  /** Points and records that were asked whether they match, one by one; 0 to a tenant (U1). */
  readonly visited: number;
  /** Distances that were computed outside the graph; 0 to a tenant. */
  readonly compared: number;
  readonly durationMs: number;
}

/** Every read says which table the asker used; the engine refuses another ("ownership version"). */
export interface ReadScope {
  readonly collectionId: number;
  readonly ownershipVersion: number;
}

/** How many records of a collection a tenant has on the shard. */
export interface TenantCount {
  readonly tenant: string;
  readonly records: number;
}

export interface TenantsQuery {
  /** Only tenants after this one. @default from the first on */
  readonly after?: string;
  /** Tenants of the page, at least 1. */
  readonly limit: number;
}

/**
 * What is done to a graph beside what entries bring. `loading`: its checkpoint is read, or about to
 * be. `rebuilding`: it is worn and made anew, or records that no checkpoint had are put into it
 * after an open or an installed snapshot.
 */
export const GRAPH_WORKS = ['loading', 'rebuilding'] as const;

export type GraphWork = (typeof GRAPH_WORKS)[number];

export interface CollectionStats {
  readonly collectionId: number;
  readonly records: number;
  /** Records that wait for the graph; a search reads all of them. */
  readonly headRows: number;
  /** Points in the graph, tombstones included. */
  readonly graphPoints: number;
  /** Points of records that were deleted or replaced. */
  readonly tombstones: number;
  /** Whether the graph is being made anew, beside the one that serves. */
  readonly isRenewing: boolean;
  /** Absent where there is none, and where a node of an older version does not tell. */
  readonly graphWork?: GraphWork | undefined;
  /** Of rows, vectors and payload indexes, without the graph's native memory. */
  readonly memoryBytes: number;
  /** As in `SlotContent`, over all slots; absent while entries are being applied. */
  readonly contentHash?: string | undefined;
}

/** What the graphs of an engine are made with. */
export interface IndexLibraryStats {
  /** What the library was compiled for: `sse`, `avx2`, ... */
  readonly instructionSet: string;
  /** As measured when the node started; 0 where it was not. */
  readonly distancesPerSecond: number;
}

/** What tenants have on a shard, in all of the collections that are routed by tenant. */
export interface TenancyStats {
  /** Those with at least one record. */
  readonly tenants: number;
  /** Of the one that has most. */
  readonly recordsMax: number;
}

export interface EngineStats {
  readonly appliedIndex: number;
  readonly ownershipVersion: number;
  readonly collections: readonly CollectionStats[];
  readonly sessions: number;
  /** Absent where nobody has asked the library: in tests and simulations. */
  readonly library?: IndexLibraryStats | undefined;
  /** As measured when the engine was opened; all 1 where its clock stands still. */
  readonly costs?: CostFactors | undefined;
  /** Absent where no collection is routed by tenant, and not told to other nodes. */
  readonly tenancy?: TenancyStats | undefined;
}

/** How many times longer than the machine of the planner's constants this one takes. */
export interface CostFactors {
  /** For the distance of a vector, outside the graph. */
  readonly distance: number;
  /** For a point that the graph asks about. */
  readonly visit: number;
}

/** Records of a collection whose time is over, as an `expire` names them. */
export interface ExpiredRecords {
  readonly collectionId: number;
  readonly records: readonly RecordVersion[];
}

/** What a slot holds: equal where two replicas hold the same records, and only there. */
export interface SlotContent {
  readonly slot: number;
  readonly records: number;
  /** The sum of the records' hashes modulo 2^128, as 32 hexadecimal digits. */
  readonly hash: string;
}

export interface CollectionContent {
  readonly collectionId: number;
  /** Those that hold records, ascending. */
  readonly slots: readonly SlotContent[];
}

export interface ContentQuery {
  /** Log index of a `mark` that is applied here. Absent: now. */
  readonly mark?: number;
  /** Whether all stored records are read, and compared with the hashes that are kept of them. */
  readonly deep: boolean;
}

/** A slot whose stored records are not those that its kept hash counts. */
export interface ContentFault {
  readonly collectionId: number;
  readonly kept: SlotContent;
  readonly found: SlotContent;
}

export interface ContentReport {
  /** Of all collections, by id; absent where the replica has not kept what it held at the mark. */
  readonly contents?: readonly CollectionContent[];
  /** What reading the stored records has found, where that was asked for. */
  readonly faults: readonly ContentFault[];
}

/** How far a replica's state goes. */
export interface AppliedState {
  readonly appliedIndex: number;
  /** The highest version of an applied entry, deletes too; 0 for none. Leaders go on above it. */
  readonly lastVersion: Version;
}

/**
 * Reads see all that was applied before the call. They reject with `FlotillaError`:
 * COLLECTION_NOT_FOUND, STALE_TOPOLOGY (another ownership version, or keys that the shard does not
 * own), DIMENSION_MISMATCH, and with
 * what `decodeFilter` finds wrong with a filter. Those that may take long end with CANCELLED soon
 * after `givenUp` is aborted: it says that nobody waits for the answer any more.
 */
export interface Engine extends StateMachine<CommandResult> {
  open(): Promise<AppliedState>;
  installSnapshot(path: string): Promise<AppliedState>;
  /** One array of hits per query, each ascending by distance, then id, then tenant. */
  search(
    scope: ReadScope,
    queries: readonly SearchQuery[],
    givenUp?: GiveUpSignal,
  ): Promise<Hit[][]>;
  /** One element per key, `undefined` where there is no such record. */
  fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: { values: boolean; metadata: boolean },
  ): Promise<(StoredRecord | undefined)[]>;
  /** What is selected. All of a collection costs nothing, a filter may read every record. */
  count(scope: ReadScope, selection?: Selection, givenUp?: GiveUpSignal): Promise<number>;
  /** One page of what is selected, each record as it was at some moment of the call. */
  scroll(scope: ReadScope, query: ScrollQuery, givenUp?: GiveUpSignal): Promise<ScrollPage>;
  /** Tenants that have records, in the order of their UTF-8 bytes. Costs all tenants. */
  tenants(scope: ReadScope, query: TenantsQuery): Promise<TenantCount[]>;
  /** Searches as `search` does, and tells how instead of what it found. */
  explain(scope: ReadScope, query: SearchQuery, givenUp?: GiveUpSignal): Promise<Explanation>;
  /** Up to `limit` records whose time was over at `nowMs`, by the asker's wall clock. */
  expired(nowMs: number, limit: number): Promise<readonly ExpiredRecords[]>;
  /** What this replica holds, by hashes. Damage that a checksum shows meanwhile ends the engine. */
  contents(query: ContentQuery): Promise<ContentReport>;
  stats(): Promise<EngineStats>;
}
