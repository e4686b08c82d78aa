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

export interface RouterHooks {
  /** One replica has answered, failed, or was given up. */
  onAttempt?(event: ShardAttemptEvent): void;
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
}
