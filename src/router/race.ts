/** Asking several replicas the same, each later than the one before: the first answer counts. */
import type { Clock, Scheduler } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import { GiveUp, type GiveUpSignal } from '../shared/give-up.js';
import { adviceFor } from './retry.js';

/** One that was asked. */
export interface Runner {
  readonly nodeId: number;
  readonly startMs: number;
  readonly state: 'running' | 'answered' | 'failed';
}

export interface Finish<T> {
  readonly value: T;
  readonly winner: Runner;
}

export interface RaceOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Of the caller. */
  readonly signal: GiveUpSignal | undefined;
}

interface Entry {
  readonly nodeId: number;
  readonly startMs: number;
  readonly giveUp: GiveUp;
  state: Runner['state'];
}

/** There is a signal for each that is asked, which is fired at losers only. */
export class Race<T> {
  /**
   * The first answer. Rejects with the first error that nobody would answer differently; with any
   * other one when all that were asked have failed. Pending before the first has entered.
   */
  readonly finish: Promise<Finish<T>>;
  readonly #options: RaceOptions;
  readonly #entries: Entry[] = [];
  #resolve: (finish: Finish<T>) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #isOver = false;
  /** Ends the wait for its end. */
  #wake: () => void = () => undefined;

  constructor(options: RaceOptions) {
    this.#options = options;
    this.finish = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who holds the race may be waiting for something else when it ends.
    this.finish.catch(() => undefined);
    options.signal?.addEventListener('abort', this.#giveUpAll, { once: true });
  }

  /** Those that were asked, in that order. */
  get runners(): readonly Runner[] {
    return this.#entries;
  }

  enter(nodeId: number, ask: (signal: GiveUpSignal) => Promise<T>): Runner {
    const { clock, signal } = this.#options;
    const giveUp = new GiveUp();
    if (signal?.aborted) giveUp.abort();
    const entry: Entry = { nodeId, startMs: clock.monotonicMs(), giveUp, state: 'running' };
    this.#entries.push(entry);
    ask(giveUp).then(
      (value) => {
        entry.state = 'answered';
        this.#resolve({ value, winner: entry });
        this.#end();
      },
      (thrown: unknown) => {
        entry.state = 'failed';
        this.#noteFailed(thrown);
      },
    );
    return entry;
  }

  /** Whether it is over after so long at the latest. */
  async isOverWithin(durationMs: number): Promise<boolean> {
    if (this.#isOver) return true;
    const { scheduler } = this.#options;
    await new Promise<void>((resolve) => {
      // After a stall of this process the timer runs before the answer that is there already.
      const timer = scheduler.after(durationMs, () => scheduler.soon(resolve));
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
    return this.#isOver;
  }

  /** Gives up on all that still run. To be called in any case. */
  close(): void {
    this.#options.signal?.removeEventListener('abort', this.#giveUpAll);
    this.#giveUpAll();
  }

  readonly #giveUpAll = (): void => {
    for (const { state, giveUp } of this.#entries) {
      if (state === 'running') giveUp.abort();
    }
  };

  #noteFailed(thrown: unknown): void {
    const isFinal = adviceFor(toFlotillaError(thrown)) === 'give-up';
    if (!isFinal && this.#entries.some(({ state }) => state !== 'failed')) return;
    this.#reject(thrown);
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#wake();
  }
}
