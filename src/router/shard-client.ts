/** Calls one shard, its leader or any replica that will do, until one answers or time is up. */
import type { CallContext, ShardReplica } from '../replica/replica.js';
import { isRelaxed, type ShardConsistency } from '../shared/consistency.js';
import { withDeadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { ShardEntry } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';
import type { RouterHooks, RouterOperation } from './hooks.js';
import { LeaderWatch, silenceMs } from './leader-watch.js';
import { Leaders } from './leaders.js';
import { ReplicaTour, type Stop } from './replica-tour.js';
import { adviceFor, Backoff } from './retry.js';
import { type ReplicaResolver, surveyShard } from './shard-survey.js';
import type { TimeBudget } from './time-budget.js';
import { UnreachedNodes } from './unreached-nodes.js';

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
  readonly consistency?: ShardConsistency;
  /** Asks one replica. May be called several times, also while an earlier call still hangs. */
  readonly ask: (replica: ShardReplica, context: CallContext) => Promise<T>;
  /** Whether a failed attempt may be followed by another. @default always */
  readonly mayRetry?: (error: FlotillaError) => boolean;
  /**
   * Whether the caller goes to another node after an error that may pass. It is then told soon
   * when this node reaches no other, instead of at the end of the budget. @default false
   */
  readonly callerRetries?: boolean | undefined;
}

interface Attempt {
  readonly shard: ShardEntry;
  readonly stop: Stop;
  readonly epoch: number;
  /** Called when the replica that was asked answers, also when nobody waits for it any more. */
  readonly noteHeard: () => void;
}

export class ShardClient {
  readonly #options: ShardClientOptions;
  readonly #leaders = new Leaders();
  readonly #unreached: UnreachedNodes;
  readonly #watch: LeaderWatch;

  constructor(options: ShardClientOptions) {
    this.#options = options;
    const { replicas, environment, localNodeId } = options;
    this.#unreached = new UnreachedNodes(environment.clock);
    this.#watch = new LeaderWatch({
      replicas,
      scheduler: environment.scheduler,
      leaders: this.#leaders,
      unreached: this.#unreached,
      localNodeId,
    });
  }

  /**
   * What the shard's leader answers, or for a relaxed read any replica. Rejects at once with what
   * no other replica would answer differently (STALE_TOPOLOGY among it), with CANCELLED, or at the
   * end of the budget with SHARD_UNAVAILABLE or the shard's own TOO_MANY_REQUESTS or
   * PROPOSAL_DROPPED.
   */
  async call<T>(call: ShardCall<T>): Promise<T> {
    const { shardId, budget } = call;
    const tour = this.#tourOf(call);
    const backoff = new Backoff(this.#options.environment);
    const patience = budget.firstMs(silenceMs(budget.leftMs));
    let lastError: FlotillaError | undefined;
    while (!budget.isSpent) {
      const { shard, epoch } = this.#shardNow(shardId);
      if (this.#unreached.takeLook(shard.replicas)) void this.#lookAgain(shard, epoch);
      const stop = tour.next(shard.replicas);
      if (stop === undefined) {
        const isElsewhereBetter = call.callerRetries === true && tour.isCutOff(shard.replicas);
        if (isElsewhereBetter && patience.isSpent) break;
        await backoff.newLeader(this.#leaders, shardId, tour.electionsSeen, budget);
        tour.startRound();
        continue;
      }
      try {
        const noteHeard = (): void => {
          this.#noteHeard(shardId, stop.replica.nodeId);
          tour.noteReached(stop.replica);
        };
        return await this.#attempt(call, { shard, stop, epoch, noteHeard });
      } catch (thrown) {
        lastError = toFlotillaError(thrown);
      }
      const advice = adviceFor(lastError);
      if (advice === 'follow-leader' || advice === 'next-replica') {
        this.#learnFrom(lastError, shardId, stop);
      }
      if (advice === 'give-up' || call.mayRetry?.(lastError) === false) throw lastError;
      const { nodeId } = stop.replica;
      this.#options.logger.debug(
        { shardId, nodeId, operation: call.operation, reason: lastError.reason },
        'a replica did not serve the call, which goes on',
      );
      if (advice === 'wait') {
        await backoff.newLeader(this.#leaders, shardId, tour.electionsSeen, budget);
        tour.startRound();
      }
    }
    throw timeIsUp(call, lastError);
  }

  /** The node leads the shard since now, as this node's own replica sees it. */
  noteLeader(shardId: number, nodeId: number): void {
    this.#leaders.elected(shardId, nodeId);
  }

  /** As far as anybody has said; `undefined` where nobody has. */
  leaderOf(shardId: number): number | undefined {
    return this.#leaders.nodeOf(shardId);
  }

  async #attempt<T>(call: ShardCall<T>, attempt: Attempt): Promise<T> {
    const { shard, stop, epoch, noteHeard } = attempt;
    const { environment, replicas, hooks } = this.#options;
    const { shardId } = shard;
    const { nodeId } = stop.replica;
    const passOn = stop.leaderNodeId !== nodeId;
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
    const { callerRetries = false, consistency = 'strong' } = call;
    const mayAskAny = isRelaxed(consistency);
    const watch = this.#isWatched(shard, nodeId, mayAskAny)
      ? this.#watch.start({ shard, stop, epoch, timeoutMs, callerRetries, mayAskAny })
      : undefined;
    try {
      const context = {
        epoch,
        timeoutMs,
        consistency,
        ...(passOn && { passOn }),
        ...(signal !== undefined && { signal }),
      };
      const answer = call.ask(replicas(shard, stop.replica), context);
      // The answer itself: what the watch and the deadline say comes from this node.
      answer.then(noteHeard, (thrown: unknown) => {
        if (isAnswer(toFlotillaError(thrown))) noteHeard();
      });
      const work = watch === undefined ? answer : Promise.race([answer, watch.futile]);
      const what = `Shard ${shardId} on node ${nodeId}`;
      const value = await withDeadline(environment.scheduler, work, { timeoutMs, signal }, what);
      if (!passOn && !mayAskAny) this.#leaders.remember(shardId, nodeId);
      report('ok');
      return value;
    } catch (thrown) {
      report(toFlotillaError(thrown).reason);
      throw thrown;
    } finally {
      watch?.end();
    }
  }

  /** A replica of this node is silent for good only where another one leads meanwhile. */
  #isWatched(shard: ShardEntry, nodeId: number, mayAskAny: boolean): boolean {
    if (nodeId !== this.#options.localNodeId) return true;
    return shard.replicas.length > 1 && !mayAskAny;
  }

  #tourOf({ shardId, consistency = 'strong' }: ShardCall<unknown>): ReplicaTour {
    const { localNodeId, environment } = this.#options;
    return new ReplicaTour({
      shardId,
      mayAskAny: isRelaxed(consistency),
      random: environment.random,
      leaders: this.#leaders,
      unreached: this.#unreached,
      localNodeId,
    });
  }

  /** Has another look at nodes that calls go round, and at who leads; nobody waits for it. */
  async #lookAgain(shard: ShardEntry, epoch: number): Promise<void> {
    const { environment, replicas } = this.#options;
    const { scheduler } = environment;
    const plan = { shard, replicas: shard.replicas, epoch };
    const survey = await surveyShard({ scheduler, replicas }, plan);
    for (const { nodeId } of shard.replicas) {
      if (survey.hasHeard(nodeId)) this.#noteHeard(shard.shardId, nodeId);
    }
    const { leader = 0 } = survey;
    if (leader !== 0) this.#leaders.remember(shard.shardId, leader);
  }

  #noteHeard(shardId: number, nodeId: number): void {
    this.#unreached.clear(nodeId);
    this.#leaders.noteHeard(shardId, nodeId);
  }

  #learnFrom(error: FlotillaError, shardId: number, stop: Stop): void {
    const { nodeId } = stop.replica;
    // That says nothing of who leads.
    if (error.reason === 'REPLICA_BEHIND') return;
    const leaderNodeId = Number(error.body.details?.leaderNodeId ?? 0);
    if (error.reason === 'SHARD_UNAVAILABLE') {
      // It may lead all the same: another node may reach it.
      this.#unreached.mark(nodeId, 'unlinked');
    } else if (leaderNodeId > 0 && leaderNodeId !== stop.leaderNodeId) {
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

/** Whether the replica that was asked has said so itself. */
function isAnswer({ reason }: FlotillaError): boolean {
  return !NO_ANSWER.has(reason);
}

const NO_ANSWER: ReadonlySet<ErrorReason> = new Set<ErrorReason>([
  'SHARD_UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'OUTCOME_UNKNOWN',
  'CANCELLED',
]);

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
