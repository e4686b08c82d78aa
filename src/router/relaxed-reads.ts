/**
 * Reads that any replica may serve: another replica is asked beside one that takes its time, and
 * the first answer counts.
 *
 * Early, as a hedge: once the read has taken longer than 95 % of the latest ones, and for 5 % of
 * the reads at most, so that a cluster that is slow as a whole gets hardly more to do. And late,
 * after so long a silence that the rest of the call's time is needed: as a retry, by its budget.
 *
 * Strong and leased reads are not hedged, nor are writes: they are for the leader, and no other
 * replica can answer in its place. `LeaderWatch` finds out when it has become another one.
 */
import { defined } from '../shared/assert.js';
import type { Environment } from '../shared/environment.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import { RetryBudget } from '../shared/retry-budget.js';
import { AnswerTimes } from './answer-times.js';
import type { HedgeResult, RouterHooks } from './hooks.js';
import { silenceMs } from './leader-watch.js';
import { Race, type Runner } from './race.js';
import type { RepeatedCall, Repeats } from './repeats.js';
import type { Stop } from './replica-tour.js';
import { SlowNodes } from './slow-nodes.js';
import type { TimeBudget } from './time-budget.js';

const HEDGE_BUDGET = { share: 0.05, perSecond: 0 };

/** An answer is late when it has taken so many times what others usually take. */
const LATE_FACTOR = 2;

export interface RelaxedReadsOptions {
  readonly environment: Environment;
  readonly hooks: RouterHooks;
  readonly repeats: Repeats;
  /** Whether to ask early. Late, another replica is asked in any case. */
  readonly isHedged: boolean;
}

export interface RelaxedRead<T> extends RepeatedCall {
  readonly budget: TimeBudget;
  readonly first: Stop;
  /** The replica that `takeOther` would answer. */
  readonly peekOther: () => Stop | undefined;
  /** A replica that was not asked yet, while there is one. */
  readonly takeOther: () => Stop | undefined;
  /** Asks one replica. Told by the signal when its answer is not wanted any more. */
  readonly ask: (stop: Stop, signal: GiveUpSignal) => Promise<T>;
}

/** What a read's time is held against. */
interface Pace {
  /** After so long another replica is worth a token. */
  readonly hedgeMs: number | undefined;
  /** So long most reads take elsewhere. */
  readonly elsewhereMs: number | undefined;
  /** After so long another replica has to be asked. */
  readonly silenceMs: number;
}

export class RelaxedReads {
  readonly #options: RelaxedReadsOptions;
  readonly #times = new AnswerTimes();
  readonly #hedges: RetryBudget;
  /** Which nodes other reads had better pass by. */
  readonly slow: SlowNodes;

  constructor(options: RelaxedReadsOptions) {
    this.#options = options;
    const { clock } = options.environment;
    this.#hedges = new RetryBudget(() => clock.monotonicMs(), HEDGE_BUDGET);
    this.slow = new SlowNodes(clock);
  }

  /**
   * What the first of the replicas answers that does. Rejects as `Race` does; another replica may
   * still answer then. Costs one timer more than the asking itself, two while reads are hedged.
   */
  async run<T>(read: RelaxedRead<T>): Promise<T> {
    const { clock, scheduler } = this.#options.environment;
    this.#hedges.earn();
    const pace = this.#paceOf(read);
    const race = new Race<T>({ clock, scheduler, signal: read.budget.signal });
    let hedge: Runner | undefined;
    let winner: Runner | undefined;
    try {
      this.#ask(race, read, read.first);
      hedge = await this.#hedge(race, read, pace);
      await this.#askOnSilence(race, read);
      const finish = await race.finish;
      winner = finish.winner;
      this.#judge(race.runners, winner, read, pace);
      return finish.value;
    } finally {
      if (hedge !== undefined) this.#reportHedge(read, hedge === winner ? 'won' : 'lost');
      race.close();
    }
  }

  #ask<T>(race: Race<T>, read: RelaxedRead<T>, stop: Stop): Runner {
    const { nodeId } = stop.replica;
    this.slow.noteAsked(nodeId);
    return race.enter(nodeId, (signal) => read.ask(stop, signal));
  }

  #askOther<T>(race: Race<T>, read: RelaxedRead<T>): Runner {
    const stop = defined(read.takeOther(), 'the replica that was there');
    return this.#ask(race, read, { ...stop, choice: 'hedge' });
  }

  #paceOf({ operation, peekOther, budget }: RelaxedRead<unknown>): Pace {
    const other = peekOther();
    return {
      hedgeMs: this.#options.isHedged && other ? this.#times.p95Ms(operation) : undefined,
      elsewhereMs: other && this.#times.p95OfNodeMs(operation, other.replica.nodeId),
      silenceMs: silenceMs(budget.leftMs),
    };
  }

  /** Asks another replica when the first has not answered in the time that most reads take. */
  async #hedge<T>(race: Race<T>, read: RelaxedRead<T>, pace: Pace): Promise<Runner | undefined> {
    const { hedgeMs } = pace;
    if (hedgeMs === undefined || hedgeMs >= pace.silenceMs) return undefined;
    if (await race.isOverWithin(hedgeMs)) return undefined;
    if (read.peekOther() === undefined) return undefined;
    if (!this.#hedges.take()) {
      this.#reportHedge(read, 'denied');
      return undefined;
    }
    return this.#askOther(race, read);
  }

  /** Asks another replica each time that none of those asked has answered for long. */
  async #askOnSilence<T>(race: Race<T>, read: RelaxedRead<T>): Promise<void> {
    const { budget, peekOther } = read;
    while (!(await race.isOverWithin(silenceMs(budget.leftMs)))) {
      if (budget.isSpent || peekOther() === undefined) return;
      if (!this.#options.repeats.mayFollowSilence(read)) return;
      this.#askOther(race, read);
    }
  }

  /** Learns from the winner, and from those that it has overtaken. */
  #judge(
    runners: readonly Runner[],
    winner: Runner,
    { operation }: RepeatedCall,
    pace: Pace,
  ): void {
    const lateMs = LATE_FACTOR * (pace.elsewhereMs ?? pace.silenceMs);
    const nowMs = this.#options.environment.clock.monotonicMs();
    // Those that were asked after the winner have had less time than it.
    for (const runner of runners.slice(0, runners.indexOf(winner) + 1)) {
      if (runner.state === 'failed') continue;
      const { nodeId, startMs } = runner;
      const durationMs = nowMs - startMs;
      this.#times.note(operation, nodeId, durationMs);
      const isOvertaken = runner !== winner;
      if (isOvertaken && durationMs >= pace.silenceMs) this.slow.noteSilent(nodeId);
      else if (isOvertaken || durationMs > lateMs) this.slow.noteLate(nodeId);
      else this.slow.noteTimely(nodeId);
    }
  }

  #reportHedge({ operation, shardId }: RepeatedCall, result: HedgeResult): void {
    this.#options.hooks.onHedge?.({ operation, shardId, result });
  }
}
