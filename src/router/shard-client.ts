/** Calls one shard, whichever replica of it leads, until it answers or the time is up. */
import type { CallContext, ShardReplica } from '../replica/replica.js';
import { withDeadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { ReadConsistency } from '../shared/types.js';
import type { ReplicaEntry, ShardEntry } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';
import type { RouterHooks, RouterOperation } from './hooks.js';
import { LeaderWatch, type ReplicaResolver } from './leader-watch.js';
import { Leaders } from './leaders.js';
import { ReplicaTour } from './replica-tour.js';
import { adviceFor, Backoff } from './retry.js';
import type { TimeBudget } from './time-budget.js';

export interface ShardClientOptions {
  readonly view: TopologyView;
  readonly replicas: ReplicaResolver;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly hooks: RouterHooks;
  /** Its replica is asked first where no leader is known. @default none */
  readonly localNodeId?: number | undefined;
}

export interface ShardCall<T> {
  readonly operation: RouterOperation;
  readonly shardId: number;
  readonly budget: TimeBudget;
  /** Of a read. @default 'strong' */
  readonly consistency?: ReadConsistency;
  /** Asks one replica. May be called several times, also while an earlier call still hangs. */
  readonly ask: (replica: ShardReplica, context: CallContext) => Promise<T>;
  /** Whether a failed attempt may be followed by another. @default always */
  readonly mayRetry?: (error: FlotillaError) => boolean;
}

export class ShardClient {
  readonly #options: ShardClientOptions;
  readonly #leaders = new Leaders();
  readonly #watch: LeaderWatch;

  constructor(options: ShardClientOptions) {
    this.#options = options;
    const { replicas, environment } = options;
    this.#watch = new LeaderWatch(replicas, environment.scheduler, this.#leaders);
  }

  /**
   * What the shard's leader answers. Rejects at once with what no other replica would answer
   * differently (STALE_TOPOLOGY among it), with CANCELLED, or at the end of the budget with
   * SHARD_UNAVAILABLE or the shard's own TOO_MANY_REQUESTS or PROPOSAL_DROPPED.
   */
  async call<T>(call: ShardCall<T>): Promise<T> {
    const { shardId, budget } = call;
    const tour = new ReplicaTour(shardId, this.#leaders, this.#options.localNodeId);
    const backoff = new Backoff(this.#options.environment);
    let lastError: FlotillaError | undefined;
    while (!budget.isSpent) {
      const { shard, epoch } = this.#shardNow(shardId);
      const replica = tour.next(shard.replicas);
      if (replica === undefined) {
        await backoff.pause(budget);
        tour.startRound();
        continue;
      }
      try {
        return await this.#attempt(call, shard, replica, epoch);
      } catch (thrown) {
        lastError = toFlotillaError(thrown);
      }
      const advice = adviceFor(lastError);
      if (advice === 'give-up' || call.mayRetry?.(lastError) === false) throw lastError;
      this.#options.logger.debug(
        { shardId, nodeId: replica.nodeId, operation: call.operation, reason: lastError.reason },
        'a replica did not serve the call, which goes on',
      );
      if (advice === 'wait') {
        await backoff.pause(budget);
        tour.startRound();
      } else {
        this.#learnFrom(lastError, shardId, replica.nodeId);
      }
    }
    throw timeIsUp(call, lastError);
  }

  async #attempt<T>(
    call: ShardCall<T>,
    shard: ShardEntry,
    entry: ReplicaEntry,
    epoch: number,
  ): Promise<T> {
    const { environment, replicas, hooks } = this.#options;
    const { shardId } = shard;
    const { nodeId } = entry;
    const { timeoutMs, signal } = call.budget.toDeadline();
    const startMs = environment.clock.monotonicMs();
    const report = (result: 'ok' | FlotillaError['reason']): void =>
      hooks.onAttempt?.({
        operation: call.operation,
        shardId,
        nodeId,
        durationMs: environment.clock.monotonicMs() - startMs,
        result,
      });
    const watch = shard.replicas.length > 1 ? this.#watch.start(shard, nodeId, epoch) : undefined;
    try {
      const { consistency = 'strong' } = call;
      const context = { epoch, timeoutMs, consistency, ...(signal !== undefined && { signal }) };
      const answer = call.ask(replicas(shard, entry), context);
      const work = watch === undefined ? answer : Promise.race([answer, watch.replaced]);
      const what = `Shard ${shardId} on node ${nodeId}`;
      const value = await withDeadline(environment.scheduler, work, { timeoutMs, signal }, what);
      this.#leaders.remember(shardId, nodeId);
      report('ok');
      return value;
    } catch (thrown) {
      report(toFlotillaError(thrown).reason);
      throw thrown;
    } finally {
      watch?.stop();
    }
  }

  #learnFrom(error: FlotillaError, shardId: number, nodeId: number): void {
    const leaderNodeId = Number(error.body.details?.leaderNodeId ?? 0);
    if (leaderNodeId > 0 && leaderNodeId !== nodeId) {
      this.#leaders.remember(shardId, leaderNodeId);
    } else {
      this.#leaders.forget(shardId, nodeId);
    }
  }

  /** The shard as the newest topology has it: replicas may move while a call goes on. */
  #shardNow(shardId: number): { shard: ShardEntry; epoch: number } {
    const document = this.#options.view.current();
    const shard = document?.shards.find((one) => one.shardId === shardId);
    if (document === undefined || shard === undefined) {
      throw new FlotillaError('STALE_TOPOLOGY', `Shard ${shardId} is not in the topology any more`);
    }
    return { shard, epoch: document.epoch };
  }
}

function timeIsUp(call: ShardCall<unknown>, last: FlotillaError | undefined): FlotillaError {
  const { shardId } = call;
  if (call.budget.isCancelled) {
    return new FlotillaError('CANCELLED', `Shard ${shardId}: the caller gave up`);
  }
  // That a shard is overloaded tells callers to slow down, which its being away would not.
  if (last !== undefined && adviceFor(last) === 'wait') return last;
  const why = last === undefined ? 'no time was left' : last.message;
  return new FlotillaError('SHARD_UNAVAILABLE', `Shard ${shardId} did not answer in time: ${why}`, {
    details: { shards: String(shardId), ...(last !== undefined && { reason: last.reason }) },
    cause: last,
  });
}
