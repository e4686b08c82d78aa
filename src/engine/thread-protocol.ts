/**
 * What an engine's thread and the thread that uses it say to each other. Calls carry ids and are
 * answered in any order; what waits in the same turn travels as one message with one buffer.
 */
import type { WrittenSnapshot } from '../shared/state-machine.js';
import type { ErrorBody } from '../shared/types.js';
import type { ByteRange } from './byte-packer.js';
import type {
  AppliedState,
  CommandResult,
  ContentQuery,
  ContentReport,
  EngineStats,
  ExpiredRecords,
  Explanation,
  Hit,
  IndexLibraryStats,
  ReadScope,
  RecordKey,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
  ShardGenesis,
  StoredRecord,
  TenantCount,
  TenantsQuery,
} from './engine.js';
import type { Include } from './record-view.js';
import type { SearchLane } from './search-lane.js';
import type { SessionLimits } from './sessions.js';
import type { LogLine } from './thread-log.js';

/** Given to the thread when it starts. */
export interface EngineThreadData {
  /** Directory of the replica's point store. */
  readonly path: string;
  readonly genesis: ShardGenesis;
  /** See `ShardEngineOptions`. */
  readonly sessionLimits?: SessionLimits;
  /** See `ShardEngineOptions`. */
  readonly exactCopy?: boolean;
  /** See `ShardEngineOptions`. */
  readonly headFloatsMax?: number;
  /** One 32-bit counter, shared: messages that were posted to the thread, modulo 2^32. */
  readonly posted: SharedArrayBuffer;
  /** Which plain searches and their hits go through. */
  readonly lane: SearchLane;
  /** See `ShardEngineOptions`. */
  readonly library?: IndexLibraryStats | undefined;
}

export interface PackedEntry {
  readonly index: number;
  readonly term: number;
  readonly data: ByteRange;
}

export type PackedSelection<T extends Selection> = Omit<T, 'filter'> & {
  readonly filter?: ByteRange;
};

export type PackedQuery = Omit<PackedSelection<SearchQuery>, 'vector'> & {
  readonly vector: ByteRange;
};

export type Packed<T extends StoredRecord> = Omit<T, 'values' | 'metadata'> & {
  readonly values?: ByteRange;
  readonly metadata?: ByteRange;
};

export type EngineCall =
  | { readonly kind: 'open' }
  | {
      readonly kind: 'apply';
      readonly entries: readonly PackedEntry[];
      readonly lastIndex: number;
    }
  | {
      readonly kind: 'search';
      readonly scope: ReadScope;
      readonly queries: readonly PackedQuery[];
    }
  | {
      readonly kind: 'fetch';
      readonly scope: ReadScope;
      readonly keys: readonly RecordKey[];
      readonly include: Include;
    }
  | {
      readonly kind: 'count';
      readonly scope: ReadScope;
      readonly selection: PackedSelection<Selection>;
    }
  | {
      readonly kind: 'scroll';
      readonly scope: ReadScope;
      readonly query: PackedSelection<ScrollQuery>;
    }
  | { readonly kind: 'explain'; readonly scope: ReadScope; readonly query: PackedQuery }
  | { readonly kind: 'tenants'; readonly scope: ReadScope; readonly query: TenantsQuery }
  | { readonly kind: 'expired'; readonly nowMs: number; readonly limit: number }
  | { readonly kind: 'contents'; readonly query: ContentQuery }
  | { readonly kind: 'stats' }
  /** Files do not cross: the thread reads and writes them itself. */
  | { readonly kind: 'writeSnapshot'; readonly path: string }
  | { readonly kind: 'installSnapshot'; readonly path: string }
  /** The last call: the thread ends by itself after it. */
  | { readonly kind: 'close' };

/** No call of its own: nobody waits any more for the answer of the call that has its id. */
export interface GiveUpCall {
  readonly kind: 'giveUp';
}

export type EngineAnswer =
  /** Answers no call: the engine has failed, for good. */
  | { readonly kind: 'failed'; readonly error: ErrorBody }
  | { readonly kind: 'open'; readonly applied: AppliedState }
  | { readonly kind: 'apply'; readonly results: readonly CommandResult[] }
  | { readonly kind: 'search'; readonly hits: readonly (readonly Packed<Hit>[])[] }
  | { readonly kind: 'fetch'; readonly records: readonly (Packed<StoredRecord> | undefined)[] }
  | { readonly kind: 'count'; readonly count: number }
  | {
      readonly kind: 'scroll';
      readonly records: readonly Packed<StoredRecord>[];
      readonly next: ScrollPage['next'];
    }
  | { readonly kind: 'explain'; readonly explanation: Explanation }
  | { readonly kind: 'tenants'; readonly tenants: readonly TenantCount[] }
  | { readonly kind: 'expired'; readonly expired: readonly ExpiredRecords[] }
  | { readonly kind: 'contents'; readonly report: ContentReport }
  | { readonly kind: 'stats'; readonly stats: EngineStats }
  | { readonly kind: 'writeSnapshot'; readonly written: WrittenSnapshot }
  | { readonly kind: 'installSnapshot'; readonly applied: AppliedState }
  | { readonly kind: 'close' }
  | { readonly kind: 'error'; readonly error: ErrorBody }
  /** No answer: its id is of no call. */
  | LogLine;

export interface Numbered<T> {
  readonly id: number;
  readonly body: T;
}

/** One message, either way. Ranges in its items point into `bytes`. */
export interface ThreadMessage<T> {
  readonly items: readonly Numbered<T>[];
  readonly bytes: ArrayBuffer;
}

/** A message that says nothing but that something has come through the lane. */
export const WAKE_UP = null;
export type WakeUp = typeof WAKE_UP;
