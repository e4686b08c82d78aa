/** Asking the shards of a read, all under one table. */
import type { CallContext, ReadAnswer, ShardReplica } from '../replica/replica.js';
import { defined } from '../shared/assert.js';
import type { ServedShard } from '../shared/consistency.js';
import type { Environment } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import { ownershipVersions } from '../topology/routes.js';
import type { TopologyView } from '../topology/view.js';
import { Bystanders } from './bystanders.js';
import type { RouterHooks, RouterOperation } from './hooks.js';
import { type ReadManner, type Scope, scopeOf, skippedShards } from './read-scope.js';
import type { ReplicaChoice } from './replica-tour.js';
import type { FailedShard, ShardsSummary } from './requests.js';
import { Backoff } from './retry.js';
import { type Gathered, scatter } from './scatter.js';
import type { ShardClient } from './shard-client.js';
import { answerOf, freshnessByShard, type ShardAnswer } from './shard-freshness.js';
import type { TimeBudget } from './time-budget.js';
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

  /**
   * Asks all shards in parallel, each as fresh as it has to be. Throws as `scatter` does. With
   * `allowPartial`, where one is missing, shards that own nothing by this table are named too if
   * they do not answer, and throw STALE_TOPOLOGY if the table is not theirs.
   */
  async scatter<T>(
    { operation, scope, shardIds = scope.shardIds, allowPartial = false }: Round,
    readOf: (shardId: number) => ShardRead<T>,
  ): Promise<GatheredReads<T>> {
    const budget = allowPartial ? scope.budget.firstPart(PARTIAL_SHARE) : scope.budget;
    const { clock } = this.#options.environment;
    const asking = this.#asking(scope);
    const startMs = clock.monotonicMs();
    const mayBePartial = allowPartial && shardIds.length > 1;
    const bystanders = mayBePartial ? this.#bystanders(scope, budget, asking) : undefined;
    let failed = 0;
    try {
      const gathered = await scatter(shardIds, { allowPartial }, async (shardId) => {
        try {
          return await asking(operation, shardId, budget, readOf(shardId));
        } catch (error) {
          failed++;
          throw error;
        }
      });
      const values = gathered.values.map(({ value }) => value);
      const served = gathered.values.map((answer) => answer.served);
      const isWhole = gathered.shards.failed.length === 0;
      const missing = isWhole ? [] : ((await bystanders?.missing()) ?? []);
      return { values, shards: withMissing(gathered.shards, missing), served };
    } finally {
      bystanders?.dismiss();
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

  /** Asks one shard under the scope's table. */
  #asking({ document, collection, consistency, callerRetries }: Scope): AskShard {
    const { shards, onServed } = this.#options;
    const freshnessOf = freshnessByShard(consistency, document);
    const versions = ownershipVersions(document);
    const { collectionId } = collection;
    return (operation, shardId, budget, read) => {
      const ownershipVersion = defined(versions.get(shardId), `shard ${shardId}`);
      return shards.call({
        operation,
        shardId,
        budget,
        consistency: freshnessOf(shardId),
        callerRetries,
        ask: async (replica, context, choice) => {
          const answer = await read(replica, { collectionId, ownershipVersion }, context, choice);
          const told = answerOf(answer, { shardId, nodeId: replica.nodeId, ownershipVersion });
          onServed(told.served);
          return told;
        },
      });
    };
  }

  #bystanders(scope: Scope, budget: TimeBudget, asking: AskShard): Bystanders | undefined {
    const shardIds = skippedShards(scope).flatMap(({ shardId, why }) =>
      why === 'owns-nothing' ? [shardId] : [],
    );
    if (shardIds.length === 0) return undefined;
    return new Bystanders(shardIds, budget, (shardId, own) =>
      asking('count', shardId, own, (replica, readScope, context) =>
        replica.count(readScope, {}, context),
      ),
    );
  }
}

/** Rejects as `ShardClient.call` does. */
type AskShard = <T>(
  operation: RouterOperation,
  shardId: number,
  budget: TimeBudget,
  read: ShardRead<T>,
) => Promise<ShardAnswer<T>>;

function withMissing(shards: ShardsSummary, missing: readonly FailedShard[]): ShardsSummary {
  if (missing.length === 0) return shards;
  const { total, ok, failed } = shards;
  return { total: total + missing.length, ok, failed: [...failed, ...missing] };
}
