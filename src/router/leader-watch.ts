/** Telling a slow leader from a dead one, and both from one that is only out of reach from here. */
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { ReplicaEntry, ShardEntry } from '../topology/document.js';
import type { Leaders } from './leaders.js';
import type { Stop } from './replica-tour.js';
import { type ReplicaResolver, Survey, surveyShard } from './shard-survey.js';
import type { UnreachedNodes } from './unreached-nodes.js';

/** How long a replica may be silent, at most, before all are asked about it. */
export const SILENCE_MS = 1_500;
/** The same of the time that a call has left: some of it has to be left for another way. */
const SILENCE_SHARE = 0.25;
/** How long replicas have to say who leads; and how long after that they are asked again. */
const SURVEY_MS = 500;
/** The same of the time that a call has left when it begins: there are two surveys, one by one. */
const SURVEY_SHARE = 0.125;
/** Of a call whose time is up: no replica answers sooner, and clocks do not tell less apart. */
const SURVEY_MIN_MS = 1;

const NO_ANSWER = new Survey(new Map());

/** How long a call with so much time left puts up with silence before it doubts its way. */
export function silenceMs(leftMs: number): number {
  return Math.min(SILENCE_MS, leftMs * SILENCE_SHARE);
}

function surveyMs({ timeoutMs }: WatchedCall): number {
  return Math.max(SURVEY_MIN_MS, Math.min(SURVEY_MS, timeoutMs * SURVEY_SHARE));
}

export interface LeaderWatchOptions {
  readonly replicas: ReplicaResolver;
  readonly scheduler: Scheduler;
  readonly leaders: Leaders;
  readonly unreached: UnreachedNodes;
  readonly localNodeId: number | undefined;
}

export interface WatchedCall {
  readonly shard: ShardEntry;
  readonly stop: Stop;
  readonly epoch: number;
  /** What the call has left. */
  readonly timeoutMs: number;
  /** Whether the caller can go to another node when none answers this one. */
  readonly callerRetries: boolean;
  /** Whether it makes no difference who leads: any replica may answer the call. */
  readonly mayAskAny: boolean;
  /** Told of each node that has answered a question about the shard. */
  readonly noteReached: (nodeId: number) => void;
}

export interface Watch {
  /**
   * Settles as `answer` does while it is of use to wait for it. Rejects with NOT_LEADER, naming
   * the new leader, once the one that the call waits for was replaced; with SHARD_UNAVAILABLE once
   * it is clear that the node that was asked answers nothing from here. The call may have been
   * carried out in both cases. To be called once, in the turn in which the watch was started.
   */
  guard<T>(answer: Promise<T>): Promise<T>;
  end(): void;
}

/**
 * Asks all replicas of a shard who leads while the one that was asked stays silent.
 *
 * A time limit alone would take a busy leader for a dead one, and send it its own work again just
 * when it can least do with more. Its followers know the difference within an election timeout; and
 * a busy leader still tells its status, which one behind a broken link does not.
 */
export class LeaderWatch {
  readonly #options: LeaderWatchOptions;

  constructor(options: LeaderWatchOptions) {
    this.#options = options;
  }

  /** Watches until ended. Costs one timer as long as the replica answers in time. */
  start(call: WatchedCall): Watch {
    const { scheduler } = this.#options;
    let hasEnded = false;
    let giveUp: (error: FlotillaError) => void = () => undefined;
    const ask = async (): Promise<void> => {
      const error = await this.#doubt(call);
      if (hasEnded) return;
      if (error !== undefined) return giveUp(error);
      timer = scheduler.after(surveyMs(call), ask);
    };
    let timer = scheduler.after(silenceMs(call.timeoutMs), ask);
    const end = (): void => {
      hasEnded = true;
      timer.cancel();
    };
    const guard = <T>(answer: Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        giveUp = reject;
        answer.then(resolve, reject);
      });
    return { guard, end };
  }

  /** Why it is of no use to wait any longer; undefined while it is. */
  async #doubt(call: WatchedCall): Promise<FlotillaError | undefined> {
    const { leaders, unreached } = this.#options;
    const { shard, stop, callerRetries, mayAskAny } = call;
    const { shardId } = shard;
    const { leaderNodeId } = stop;
    if (mayAskAny) {
      if (await this.#isHeard(call, NO_ANSWER)) return undefined;
      unreached.mark(stop.replica.nodeId, 'silent');
      return unreachedError(shardId, stop.replica.nodeId);
    }
    const others = shard.replicas.filter(({ nodeId }) => nodeId !== leaderNodeId);
    const survey = await this.#survey(call, others);
    if (survey.leader !== undefined && survey.leader !== leaderNodeId) {
      leaders.markSilent(shardId, leaderNodeId);
      if (survey.leader !== 0) return replacedError(shardId, leaderNodeId, survey.leader);
    }
    // A leader that still leads was asked in vain: one of the others may pass the call on.
    const hasOtherWay = survey.leader === leaderNodeId;
    const silent = this.#silentOnes(others, survey);
    const isCutOff = silent.length === this.#silentOnes(others, NO_ANSWER).length;
    if (!hasOtherWay && !(isCutOff && callerRetries)) return undefined;
    if (await this.#isHeard(call, survey)) return undefined;
    for (const nodeId of [stop.replica.nodeId, ...silent]) unreached.mark(nodeId, 'silent');
    return unreachedError(shardId, stop.replica.nodeId);
  }

  async #survey(call: WatchedCall, replicas: readonly ReplicaEntry[]): Promise<Survey> {
    const { shard, epoch } = call;
    const plan = { shard, replicas, epoch, timeoutMs: surveyMs(call) };
    const survey = await surveyShard(this.#options, plan);
    for (const { nodeId } of replicas) if (survey.hasHeard(nodeId)) call.noteReached(nodeId);
    return survey;
  }

  /** Whether the node that was asked answers anything; the leader has not been surveyed yet. */
  async #isHeard(call: WatchedCall, survey: Survey): Promise<boolean> {
    const { replica, leaderNodeId } = call.stop;
    if (replica.nodeId !== leaderNodeId) return survey.hasHeard(replica.nodeId);
    return (await this.#survey(call, [replica])).hasHeard(replica.nodeId);
  }

  #silentOnes(replicas: readonly ReplicaEntry[], survey: Survey): number[] {
    const { localNodeId } = this.#options;
    return replicas
      .map(({ nodeId }) => nodeId)
      .filter((nodeId) => nodeId !== localNodeId && !survey.hasHeard(nodeId));
  }
}

function replacedError(shardId: number, nodeId: number, leaderNodeId: number): FlotillaError {
  const message = `Node ${nodeId} is silent, node ${leaderNodeId} leads shard ${shardId} now`;
  return new FlotillaError('NOT_LEADER', message, {
    details: { leaderNodeId: String(leaderNodeId) },
  });
}

function unreachedError(shardId: number, nodeId: number): FlotillaError {
  const message = `Node ${nodeId} answers nothing from here, not even who leads shard ${shardId}`;
  return new FlotillaError('SHARD_UNAVAILABLE', message, { details: { silent: String(nodeId) } });
}
