/** Calls one shard, its leader or any replica that will do, until one answers or time is up. */
import type { CallContext, ShardReplica } from '../replica/replica.js';
import { isRelaxed, isTooSlow, type ShardConsistency } from '../shared/consistency.js';
import { withDeadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { RetryBudget, type RetryBudgetOptions, retryBudgetSpent } from '../shared/retry-budget.js';
import type { ShardEntry } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';
import { BehindReplicas } from './behind-replicas.js';
import type { RouterHooks, RouterOperation } from './hooks.js';
import { LeaderWatch, silenceMs, type Watch } from './leader-watch.js';
import { Leaders } from './leaders.js';
import { NearNodes } from './near-nodes.js';
import { RelaxedReads } from './relaxed-reads.js';
import { isUntouched, Repeats } from './repeats.js';
import { type ReplicaChoice, ReplicaTour, type Stop } from './replica-tour.js';
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
  readonly retryBudget: RetryBudgetOptions;
  readonly hedgedReads: boolean;
}

export interface ShardCall<T> {
  readonly operation: RouterOperation;
  readonly shardId: number;
  readonly budget: TimeBudget;
  /** Of a read. @default 'strong' */
  readonly consistency?: ShardConsistency;
  /** Asks one replica. May be called several times, also while an earlier call still hangs. */
  readonly ask: (replica: ShardReplica, context: CallContext, choice: ReplicaChoice) => Promise<T>;
  /** Whether a failed attempt may be followed by another. @default always */
  readonly mayRetry?: (error: FlotillaError) => boolean;
  /**
   * Whether the caller goes to another node after an error that may pass. It is then told soon
   * when this node reaches no other, instead of at the end of the budget. @default false
   */
  readonly callerRetries?: boolean | undefined;
}

/** How long nodes have to answer that calls go round. */
const LOOK_MS = 500;

interface Attempt {
  readonly shard: ShardEntry;
  readonly stop: Stop;
  readonly epoch: number;
  readonly tour: ReplicaTour;
}

export class ShardClient {
  readonly #options: ShardClientOptions;
  readonly #leaders = new Leaders();
  readonly #unreached: UnreachedNodes;
  readonly #watch: LeaderWatch;
  readonly #repeats: Repeats;
  readonly #relaxed: RelaxedReads;
  readonly #behind: BehindReplicas;
  readonly #near: NearNodes;

  constructor(options: ShardClientOptions) {
    this.#options = options;
    const { view, replicas, environment, localNodeId, hooks } = options;
    const nowMs = (): number => environment.clock.monotonicMs();
    this.#repeats = new Repeats(new RetryBudget(nowMs, options.retryBudget), hooks);
    this.#relaxed = new RelaxedReads({
      environment,
      hooks,
      repeats: this.#repeats,
      isHedged: options.hedgedReads,
    });
    this.#behind = new BehindReplicas(environment.clock);
    this.#near = new NearNodes(view, localNodeId);
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
   * no other replica would answer differently (STALE_TOPOLOGY among it, and REPLICA_BEHIND of two
   * that took longer than a read's bound), with CANCELLED, with the last error when the retry
   * budget is spent, or at the end of the call's time with SHARD_UNAVAILABLE or the shard's own
   * TOO_MANY_REQUESTS or PROPOSAL_DROPPED.
   */
  async call<T>(call: ShardCall<T>): Promise<T> {
    const { shardId, budget } = call;
    const tour = this.#tourOf(call);
    const backoff = new Backoff(this.#options.environment);
    const wholeMs = budget.leftMs;
    this.#repeats.noteFirst();
    let lastError: FlotillaError | undefined;
    let hasWorked = false;
    while (!budget.isSpent) {
      const { shard, epoch } = this.#shardNow(shardId);
      if (this.#unreached.takeLook(shard.replicas)) void this.#lookAgain(shard, epoch);
      const stop = tour.next(shard.replicas);
      if (stop === undefined) {
        const isElsewhereBetter = call.callerRetries === true && tour.isCutOff(shard.replicas);
        if (isElsewhereBetter && wholeMs - budget.leftMs >= silenceMs(wholeMs)) break;
        await backoff.newLeader(this.#leaders, shardId, tour.electionsSeen, budget);
        tour.startRound();
        continue;
      }
      try {
        return await this.#ask(call, { shard, stop, epoch, tour });
      } catch (thrown) {
        lastError = toFlotillaError(thrown);
      }
      hasWorked ||= !isUntouched(lastError);
      const advice = adviceFor(lastError);
      if (advice === 'give-up' || call.mayRetry?.(lastError) === false) throw lastError;
      if (tour.tooSlow !== undefined) throw tour.tooSlow;
      if (budget.isSpent) break;
      if (!this.#repeats.mayFollow(call, lastError)) throw retryBudgetSpent(lastError);
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
    const error = timeIsUp(call, lastError);
    throw hasWorked ? error : untouched(error);
  }

  /** The node leads the shard since now, as this node's own replica sees it. */
  noteLeader(shardId: number, nodeId: number): void {
    this.#leaders.elected(shardId, nodeId);
  }

  /** As far as anybody has said; `undefined` where nobody has. */
  leaderOf(shardId: number): number | undefined {
    return this.#leaders.nodeOf(shardId);
  }

  /** Asks one replica; where any will do, others beside it when it takes its time. */
  #ask<T>(call: ShardCall<T>, attempt: Attempt): Promise<T> {
    const { shard, stop: first, tour } = attempt;
    const isAlone = shard.replicas.length === 1;
    if (isAlone || !isRelaxed(call.consistency ?? 'strong')) return this.#attempt(call, attempt);
    const { operation, shardId, budget } = call;
    return this.#relaxed.run({
      operation,
      shardId,
      budget,
      first,
      peekOther: () => tour.peek(shard.replicas),
      takeOther: () => tour.next(shard.replicas),
      ask: (stop, signal) => this.#attempt(call, { ...attempt, stop }, signal),
    });
  }

  async #attempt<T>(call: ShardCall<T>, attempt: Attempt, signal = call.budget.signal): Promise<T> {
    const { shard, stop, epoch, tour } = attempt;
    const { environment, replicas, hooks } = this.#options;
    const { shardId } = shard;
    const { nodeId } = stop.replica;
    const passOn = stop.leaderNodeId !== nodeId;
    const timeoutMs = call.budget.leftMs;
    const startMs = environment.clock.monotonicMs();
    const report = (result: 'ok' | FlotillaError['reason']): void =>
      hooks.onAttempt?.({
        operation: call.operation,
        shardId,
        nodeId,
        durationMs: environment.clock.monotonicMs() - startMs,
        result,
      });
    const { consistency = 'strong' } = call;
    if (mustBeFresh(consistency)) this.#behind.noteAsked(shardId, nodeId);
    const watch = this.#startWatch(call, attempt, timeoutMs);
    try {
      const context = { epoch, timeoutMs, consistency, passOn, signal };
      const noteHeard = (): void => {
        this.#noteHeard(shardId, nodeId);
        tour.noteReached(nodeId);
      };
      const answer = call.ask(replicas(shard, stop.replica), context, stop.choice);
      // The answer itself, also when nobody waits for it any more: what the watch and the deadline
      // say comes from this node.
      answer.then(noteHeard, (thrown: unknown) => {
        if (isAnswer(toFlotillaError(thrown))) noteHeard();
      });
      const work = watch === undefined ? answer : watch.guard(answer);
      const what = `Shard ${shardId} on node ${nodeId}`;
      const value = await withDeadline(environment.scheduler, work, { timeoutMs, signal }, what);
      if (!passOn && !isRelaxed(consistency)) this.#leaders.remember(shardId, nodeId);
      if (mustBeFresh(consistency)) this.#behind.noteFresh(shardId, nodeId);
      report('ok');
      return value;
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      report(error.reason);
      // Who was given up has told nothing of itself.
      if (signal?.aborted !== true) this.#learnFrom(error, shardId, stop);
      if (isTooSlow(error.body)) tour.noteTooSlow(error);
      throw error;
    } finally {
      watch?.end();
    }
  }

  /** A replica of this node is silent for good only where another one leads meanwhile. */
  #startWatch(
    { callerRetries = false, consistency = 'strong' }: ShardCall<unknown>,
    { shard, stop, epoch, tour }: Attempt,
    timeoutMs: number,
  ): Watch | undefined {
    const mayAskAny = isRelaxed(consistency);
    const isHere = stop.replica.nodeId === this.#options.localNodeId;
    if (isHere && (mayAskAny || shard.replicas.length === 1)) return undefined;
    const noteReached = (nodeId: number): void => tour.noteReached(nodeId);
    const call = { shard, stop, epoch, timeoutMs, callerRetries, mayAskAny, noteReached };
    return this.#watch.start(call);
  }

  #tourOf({ shardId, consistency = 'strong' }: ShardCall<unknown>): ReplicaTour {
    const { localNodeId, environment } = this.#options;
    return new ReplicaTour({
      shardId,
      mayAskAny: isRelaxed(consistency),
      random: environment.random,
      leaders: this.#leaders,
      unreached: this.#unreached,
      slow: this.#relaxed.slow,
      near: this.#near,
      behind: mustBeFresh(consistency) ? this.#behind : undefined,
      localNodeId,
    });
  }

  /** Has another look at nodes that calls go round, and at who leads; nobody waits for it. */
  async #lookAgain(shard: ShardEntry, epoch: number): Promise<void> {
    const { environment, replicas } = this.#options;
    const { scheduler } = environment;
    const plan = { shard, replicas: shard.replicas, epoch, timeoutMs: LOOK_MS };
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
    const advice = adviceFor(error);
    const saysWhere = advice === 'follow-leader' || advice === 'next-replica';
    if (!saysWhere) return;
    if (error.reason === 'REPLICA_BEHIND') {
      // That says nothing of who leads.
      if (!isTooSlow(error.body)) this.#behind.noteBehind(shardId, nodeId);
      return;
    }
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

/** Whether a replica that does not lead may have to wait until it can serve the read. */
function mustBeFresh(consistency: ShardConsistency): boolean {
  return isRelaxed(consistency) && consistency !== 'eventual';
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

/** Tells callers that nobody has worked on the call: to repeat it costs them no token. */
function untouched({ body, cause }: FlotillaError): FlotillaError {
  return FlotillaError.fromBody(
    { ...body, details: { ...body.details, untouched: 'true' } },
    cause,
  );
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
