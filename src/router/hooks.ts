/** Where the router tells what it does; metrics are made of it. Nothing depends on an answer. */
import type { ErrorReason } from '../shared/error-codes.js';

export type RouterOperation =
  | 'write'
  | 'search'
  | 'fetch'
  | 'count'
  | 'scroll'
  | 'explain'
  | 'tenants'
  | 'command'
  | 'barrier';

export interface ShardAttemptEvent {
  readonly operation: RouterOperation;
  readonly shardId: number;
  readonly nodeId: number;
  readonly durationMs: number;
  readonly result: 'ok' | ErrorReason;
}

/** Whether a second replica was first; `denied`: it was not asked, for want of a token. */
export type HedgeResult = 'won' | 'lost' | 'denied';

export interface RouterHooks {
  /** One replica has answered, failed, or was given up. */
  onAttempt?(event: ShardAttemptEvent): void;
  /** A shard is to be asked again; whether that takes a token, and whether there was one. */
  onRetry?(event: {
    readonly operation: RouterOperation;
    readonly shardId: number;
    /** What the attempt before has ended with; `SILENT` where it goes on beside this one. */
    readonly reason: ErrorReason | 'SILENT';
    readonly budget: 'free' | 'paid' | 'spent';
  }): void;
  /** A read has taken longer than most. */
  onHedge?(event: {
    readonly operation: RouterOperation;
    readonly shardId: number;
    readonly result: HedgeResult;
  }): void;
  /** All shards of a read have answered or failed. */
  onFanOut?(event: {
    readonly operation: RouterOperation;
    readonly shards: number;
    readonly failed: number;
    readonly durationMs: number;
  }): void;
  /** The hits of all queries of a search were merged. */
  onMerge?(event: {
    readonly queries: number;
    readonly shards: number;
    readonly durationMs: number;
  }): void;
  /** A search that a cache may answer was looked up in it. */
  onCacheLookup?(event: { readonly isHit: boolean }): void;
  /** Answers have come into the cache, or left it; `evicted` of them to make room. */
  onCacheChange?(event: { readonly sizeBytes: number; readonly evicted: number }): void;
}
