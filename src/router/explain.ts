/** Carrying a search out to tell how it went: which shards, which replicas, and where time goes. */
import type { Explanation, SearchQuery } from '../engine/engine.js';
import type { ReadAnswer } from '../replica/replica.js';
import { defined } from '../shared/assert.js';
import type { Clock } from '../shared/environment.js';
import { mergeHits } from './merge.js';
import { type Scope, skippedShards } from './read-scope.js';
import { type Attempt, ShardTrace } from './read-trace.js';
import type {
  CacheVerdict,
  ExplainAnswer,
  SearchHit,
  SearchRequestQuery,
  ShardExplanation,
} from './requests.js';
import type { GatheredReads, ScopedReads, ShardRead } from './scoped-reads.js';
import type { SearchCache } from './search-cache.js';
import { shardQueries } from './shard-queries.js';

export interface ExplainOptions {
  readonly reads: ScopedReads;
  readonly cache: SearchCache | undefined;
  readonly clock: Clock;
}

/** What a shard tells, and the attempt that it told it to. */
interface ExplainedPart {
  readonly shardId: number;
  readonly attempt: Attempt;
  readonly explanation: Explanation;
  /** What asking for the explanation took, in all. */
  readonly callMs: number;
  readonly hits: readonly SearchHit[];
}

/**
 * Costs twice what the search does: the engine tells how it searched instead of what it found, so
 * each replica is asked for its hits as well, without their metadata. Of that only the merge counts
 * among the times.
 */
export async function explain(
  { reads, cache, clock }: ExplainOptions,
  scope: Scope,
  query: SearchRequestQuery,
  allowPartial: boolean,
): Promise<ExplainAnswer> {
  const startMs = clock.monotonicMs();
  const verdict = verdictOf(cache, scope, query);
  const { queries } = await shardQueries(reads, scope, [query]);
  const asked = defined(queries[0], 'the query');
  const routedMs = clock.monotonicMs();
  const traces = new Map(scope.shardIds.map((id) => [id, new ShardTrace(id, clock)]));
  const round = {
    operation: 'explain',
    scope,
    allowPartial,
  } as const;
  const gathered = await reads.scatter(round, (shardId) =>
    explainedBy(defined(traces.get(shardId), `trace of shard ${shardId}`), asked),
  );
  const gatheredMs = clock.monotonicMs();
  const parts = [...gathered.values].sort((a, b) => a.shardId - b.shardId);
  const { offset = 0, limit } = query;
  const hits = mergeHits(
    parts.map((part) => part.hits),
    { offset, limit },
  );
  const mergeMs = clock.monotonicMs() - gatheredMs;
  const isMissing = gathered.shards.failed.length > 0;
  const stages = {
    routeMs: routedMs - startMs,
    fanOutMs: isMissing ? gatheredMs - routedMs : slowest(parts),
    mergeMs,
  };
  return {
    ...told(scope, gathered, parts, hits),
    attempts: failed(traces, parts),
    stages,
    cache: verdict,
  };
}

function told(
  scope: Scope,
  gathered: GatheredReads<ExplainedPart>,
  parts: readonly ExplainedPart[],
  hits: readonly SearchHit[],
): Omit<ExplainAnswer, 'attempts' | 'stages' | 'cache'> {
  const used = new Set(hits);
  const { failed: missing } = gathered.shards;
  return {
    shards: parts.map((part) => shardExplanation(part, used)),
    skipped: skippedShards(scope),
    failed: missing,
    degraded: missing.length > 0,
    served: gathered.served,
    epoch: scope.document.epoch,
  };
}

function explainedBy(trace: ShardTrace, query: SearchQuery): ShardRead<ExplainedPart> {
  const plain = { ...query, includeValues: false, includeMetadata: false };
  return (replica, scope, context, choice) =>
    trace.attempt(replica.nodeId, choice, async (attempt): Promise<ReadAnswer<ExplainedPart>> => {
      const { value: explanation, ...answer } = await replica.explain(scope, query, context);
      const callMs = trace.nowMs - attempt.startMs;
      const found = await replica.search(scope, [plain], context);
      const hits = found.value[0] ?? [];
      return { ...answer, value: { shardId: trace.shardId, attempt, explanation, callMs, hits } };
    });
}

function shardExplanation(
  { shardId, attempt, explanation, callMs, hits }: ExplainedPart,
  used: ReadonlySet<SearchHit>,
): ShardExplanation {
  return {
    ...explanation,
    shardId,
    choice: attempt.choice,
    waitedMs: attempt.startMs,
    // The engine's clock is another one.
    networkMs: Math.max(0, callMs - explanation.durationMs),
    foundHits: hits.length,
    usedHits: hits.filter((hit) => used.has(hit)).length,
  };
}

/** When the last part was there, after all were asked for. */
function slowest(parts: readonly ExplainedPart[]): number {
  return Math.max(0, ...parts.map(({ attempt, callMs }) => attempt.startMs + callMs));
}

function failed(
  traces: ReadonlyMap<number, ShardTrace>,
  parts: readonly ExplainedPart[],
): ExplainAnswer['attempts'] {
  const answered = new Map(parts.map(({ shardId, attempt }) => [shardId, attempt]));
  return [...traces.values()].flatMap((trace) => trace.failed(answered.get(trace.shardId)));
}

function verdictOf(
  cache: SearchCache | undefined,
  scope: Scope,
  query: SearchRequestQuery,
): CacheVerdict {
  if (cache === undefined) {
    return { verdict: 'off', reason: 'this node keeps no answers, see router.searchCacheBytes' };
  }
  const question = cache.question(scope, [query], scope.consistency);
  if (question !== undefined) return cache.verdict(question);
  return { verdict: 'not-asked', reason: 'only bounded and eventual reads are answered from it' };
}
