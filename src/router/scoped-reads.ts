/** Asking the shards of a read, all under one table. */
import type { CallContext, ReadAnswer, ShardReplica } from '../replica/replica.js';
import { defined } from '../shared/assert.js';
import type { ServedShard } from '../shared/consistency.js';
import type { Environment } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import { ownershipVersions } from '../topology/routes.js';
import type { TopologyView } from '../topology/view.js';
import type { RouterHooks, RouterOperation } from './hooks.js';
import { type ReadManner, type Scope, scopeOf } from './read-scope.js';
import type { ReplicaChoice } from './replica-tour.js';
import { Backoff } from './retry.js';
import { type Gathered, scatter } from './scatter.js';
import type { ShardClient } from './shard-client.js';
import { answerOf, freshnessByShard, type ShardAnswer } from './shard-freshness.js';
import type { TopologyRefresh } from './topology-refresh.js';

/** A partial answer must leave before the caller's deadline, or it would be of no use. */
const PARTIAL_SHARE = 0.9;

export interface ScopedReadsOptions {
  readonly view: TopologyView;
  readonly shards: ShardClient;
  readonly environment: Environment;
  readonly hooks: RouterHooks;
  readonly refresh: TopologyRefresh;
  /** Told of each answer of a replica when it comes. */
  readonly onServed: (served: ServedShard) => void;
}

export type ShardRead<T> = (
  replica: ShardReplica,
  scope: { readonly collectionId: number; readonly ownershipVersion: number },
  context: CallContext,
  choice: ReplicaChoice,
) => Promise<ReadAnswer<T>>;

/** Which shards a round asks, and what it is for. */
export interface Round {
  readonly operation: RouterOperation;
  readonly scope: Scope;
  /** @default those of the scope */
  readonly shardIds?: readonly number[];
  /** @default false */
  readonly allowPartial?: boolean;
}

export interface GatheredReads<T> extends Gathered<T> {
  readonly served: readonly ServedShard[];
}

export class ScopedReads {
  readonly #options: ScopedReadsOptions;

  constructor(options: ScopedReadsOptions) {
    this.#options = options;
  }

  /** Asks all shards in parallel, each as fresh as it has to be. Throws as `scatter` does. */
  async scatter<T>(
    { operation, scope, shardIds = scope.shardIds, allowPartial = false }: Round,
    readOf: (shardId: number) => ShardRead<T>,
  ): Promise<GatheredReads<T>> {
    const { document, callerRetries } = scope;
    const budget = allowPartial ? scope.budget.firstPart(PARTIAL_SHARE) : scope.budget;
    const freshnessOf = freshnessByShard(scope.consistency, document);
    const { collectionId } = scope.collection;
    const { clock } = this.#options.environment;
    const versions = ownershipVersions(document);
    const startMs = clock.monotonicMs();
    let failed = 0;
    try {
      const gathered = await scatter(shardIds, { allowPartial }, async (shardId) => {
        const ownershipVersion = defined(versions.get(shardId), `shard ${shardId}`);
        const consistency = freshnessOf(shardId);
        const read = readOf(shardId);
        const ask = async (
          replica: ShardReplica,
          context: CallContext,
          choice: ReplicaChoice,
        ): Promise<ShardAnswer<T>> => {
          const answer = await read(replica, { collectionId, ownershipVersion }, context, choice);
          const told = answerOf(answer, { shardId, nodeId: replica.nodeId, ownershipVersion });
          this.#options.onServed(told.served);
          return told;
        };
        try {
          return await this.#options.shards.call({
            operation,
            shardId,
            budget,
            consistency,
            callerRetries,
            ask,
          });
        } catch (error) {
          failed++;
          throw error;
        }
      });
      const values = gathered.values.map(({ value }) => value);
      const served = gathered.values.map((answer) => answer.served);
      return { values, shards: gathered.shards, served };
    } finally {
      const durationMs = clock.monotonicMs() - startMs;
      this.#options.hooks.onFanOut?.({ operation, shards: shardIds.length, failed, durationMs });
    }
  }

  /**
   * Runs a whole read with one document. When a replica refuses that document's ownership, all of
   * it starts again under a newer one: parts of two tables may hold a record twice, or not at all.
   */
  async underOneTable<T>(
    collection: string,
    manner: ReadManner,
    run: (scope: Scope) => Promise<T>,
  ): Promise<T> {
    const { view, environment, refresh } = this.#options;
    const { budget } = manner;
    const backoff = new Backoff(environment);
    for (;;) {
      // The collection first: it tells when there is no document at all.
      const entry = view.collection(collection);
      const document = defined(view.current(), 'the topology');
      try {
        return await run(scopeOf(document, entry, manner));
      } catch (thrown) {
        const error = toFlotillaError(thrown);
        if (error.reason !== 'STALE_TOPOLOGY' || budget.isSpent) throw thrown;
        refresh.noteRefused(error);
      }
      await backoff.newerTopology(view, document.epoch, budget);
    }
  }
}
