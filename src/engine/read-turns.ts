/**
 * Whose slice is next among the reads that take more than one. Of all that wait one goes on in a
 * turn of the event loop, so that writes, the mover and what is loaded wait for one slice and not
 * for as many as there are reads.
 *
 * Turns go alternately to the oldest read, so that each comes to its end however many there are,
 * and to the one that has had the fewest, so that a short one does not wait for the end of a long
 * one. A turn costs a look at all that wait.
 */
import type { Scheduler } from '../shared/environment.js';
import type { GivenUp } from './slices.js';

interface WaitingRead {
  /** Reads are numbered as they begin. */
  readonly number: number;
  readonly turns: number;
  readonly givenUp: GivenUp | undefined;
  readonly resume: () => void;
}

export class ReadTurns {
  readonly #scheduler: Pick<Scheduler, 'soon'>;
  #waiting: WaitingRead[] = [];
  #lastNumber = 0;
  #isScheduled = false;
  #isOldestNext = true;

  constructor(scheduler: Pick<Scheduler, 'soon'>) {
    this.#scheduler = scheduler;
  }

  /** Reads that wait for a turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A read that begins: each call of what is returned resolves when it has its next turn. */
  begin(givenUp: GivenUp | undefined): () => Promise<void> {
    const number = ++this.#lastNumber;
    let turns = 0;
    return () =>
      new Promise((resume) => {
        this.#waiting.push({ number, turns: turns++, givenUp, resume });
        this.#schedule();
      });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#scheduler.soon(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    // Those that are given up end as soon as they go on.
    const ending = this.#waiting.filter(({ givenUp }) => givenUp?.aborted === true);
    const next = this.#next();
    const leaving = new Set(next === undefined ? ending : [...ending, next]);
    this.#waiting = this.#waiting.filter((read) => !leaving.has(read));
    if (this.#waiting.length > 0) this.#schedule();
    for (const { resume } of leaving) resume();
  }

  #next(): WaitingRead | undefined {
    let found: WaitingRead | undefined;
    for (const read of this.#waiting) {
      if (read.givenUp?.aborted !== true && (found === undefined || this.#isBefore(read, found))) {
        found = read;
      }
    }
    this.#isOldestNext = !this.#isOldestNext;
    return found;
  }

  #isBefore(a: WaitingRead, b: WaitingRead): boolean {
    if (!this.#isOldestNext && a.turns !== b.turns) return a.turns < b.turns;
    return a.number < b.number;
  }
}
