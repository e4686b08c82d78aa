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
  EngineStats,
  Hit,
  ReadScope,
  RecordKey,
  SearchQuery,
  ShardGenesis,
  StoredRecord,
} from './engine.js';
import type { Include } from './record-view.js';
import type { SessionLimits } from './sessions.js';

/** Given to the thread when it starts. */
export interface EngineThreadData {
  /** Directory of the replica's point store. */
  readonly path: string;
  readonly genesis: ShardGenesis;
  /** See `ShardEngineOptions`. */
  readonly sessionLimits?: SessionLimits;
}

export interface PackedEntry {
  readonly index: number;
  readonly term: number;
  readonly data: ByteRange;
}

export type PackedQuery = Omit<SearchQuery, 'vector'> & { readonly vector: ByteRange };

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
  | { readonly kind: 'count'; readonly scope: ReadScope }
  | { readonly kind: 'stats' }
  /** Files do not cross: the thread reads and writes them itself. */
  | { readonly kind: 'writeSnapshot'; readonly path: string }
  | { readonly kind: 'installSnapshot'; readonly path: string }
  /** The last call: the thread ends by itself after it. */
  | { readonly kind: 'close' };

export type EngineAnswer =
  | { readonly kind: 'open'; readonly applied: AppliedState }
  | { readonly kind: 'apply'; readonly results: readonly CommandResult[] }
  | { readonly kind: 'search'; readonly hits: readonly (readonly Packed<Hit>[])[] }
  | { readonly kind: 'fetch'; readonly records: readonly (Packed<StoredRecord> | undefined)[] }
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'stats'; readonly stats: EngineStats }
  | { readonly kind: 'writeSnapshot'; readonly written: WrittenSnapshot }
  | { readonly kind: 'installSnapshot'; readonly applied: AppliedState }
  | { readonly kind: 'close' }
  | { readonly kind: 'error'; readonly error: ErrorBody };

export interface Numbered<T> {
  readonly id: number;
  readonly body: T;
}

/** One message, either way. Ranges in its items point into `bytes`. */
export interface ThreadMessage<T> {
  readonly items: readonly Numbered<T>[];
  readonly bytes: ArrayBuffer;
}
