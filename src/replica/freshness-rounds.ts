/** Asking the leader how fresh a replica is. */
import { GiveUp, type GiveUpSignal } from '../shared/give-up.js';
import type { FreshnessMark, Moment } from './freshness-mark.js';
import type { RaftGroup } from './group.js';

export interface FreshnessRoundsOptions {
  readonly group: Pick<RaftGroup<unknown>, 'leasedIndex' | 'readBarrier' | 'waitApplied'>;
  /** Told what each answer says. */
  readonly mark: FreshnessMark;
}

/** A question under way. What is answered by it is complete up to `asked`. */
interface Round {
  readonly asked: Moment;
  readonly done: Promise<Moment>;
  readonly givenUp: GiveUp;
  /** It is given up with the last of them. */
  waiting: number;
}

/** Replicas that serve eventual or bounded reads ask once in so long how old their state is. */
const AGE_KEPT_MS = 1_000;

/**
 * One question serves all reads that it is young enough for. A replica that does not come up to
 * its leader has no more of them under way than reads wait, and one for the age alone.
 */
export class FreshnessRounds {
  readonly #group: FreshnessRoundsOptions['group'];
  readonly #mark: FreshnessMark;
  #newest: Round | undefined;
  /** When a round was last begun for the age alone, and whether it is under way. */
  #ageAsked: Moment | undefined;
  #isAgeAwaited = false;

  constructor({ group, mark }: FreshnessRoundsOptions) {
    this.#group = group;
    this.#mark = mark;
  }

  /**
   * Resolves with a moment up to which the state here is complete. It was at most so old when this
   * was called, and may be older by now. Rejects as `RaftGroup.readBarrier` does, and with
   * CANCELLED once `givenUp` is aborted, which is to be of this wait alone.
   */
  confirmed(ageMsMax: number, givenUp: GiveUpSignal): Promise<Moment> {
    const newest = this.#newest;
    const isYoung = newest !== undefined && this.#mark.ageMs(newest.asked) <= ageMsMax;
    const round = isYoung ? newest : this.#ask();
    round.waiting += 1;
    givenUp.addEventListener('abort', () => this.#leave(round));
    return round.done;
  }

  /** Sees to it that the age is known; nobody waits for it: the next read may tell its age. */
  keepAge(): void {
    const isRecent = (moment: Moment | undefined): boolean =>
      moment !== undefined && this.#mark.ageMs(moment) < AGE_KEPT_MS;
    const isKept = isRecent(this.#mark.newest) || isRecent(this.#ageAsked);
    if (this.#isAgeAwaited || isKept) return;
    this.#isAgeAwaited = true;
    const round = this.#ask();
    round.waiting += 1;
    this.#ageAsked = round.asked;
    const settle = (): void => {
      this.#isAgeAwaited = false;
    };
    round.done.then(settle, settle);
  }

  #ask(): Round {
    const asked = this.#mark.now();
    const givenUp = new GiveUp();
    const done = this.#complete(asked, givenUp);
    const round: Round = { asked, done, givenUp, waiting: 0 };
    this.#newest = round;
    const forget = (): void => this.#forget(round);
    done.then(forget, forget);
    return round;
  }

  /** A leader's lease says the same as a round to a quorum, at the moment at which it is held. */
  async #complete(asked: Moment, givenUp: GiveUpSignal): Promise<Moment> {
    const { leasedIndex } = this.#group;
    if (leasedIndex === undefined) await this.#group.readBarrier('anywhere', givenUp);
    else await this.#group.waitApplied(leasedIndex, givenUp);
    this.#mark.note(asked);
    return asked;
  }

  #leave(round: Round): void {
    round.waiting -= 1;
    if (round.waiting > 0) return;
    this.#forget(round);
    round.givenUp.abort();
  }

  #forget(round: Round): void {
    if (this.#newest === round) this.#newest = undefined;
  }
}
