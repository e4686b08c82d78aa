/** Long work in slices, so that what waits on the same thread gets its turn in between. */
import type { Environment } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';

/** A few graph inserts; what a search may have to wait for. */
export const SLICE_MS = 4;
/** Rows between two looks at the clock, and of one read of the store. */
export const ROWS_PER_LOOK = 256;
/** Metadata that may be judged between two looks at the clock: 4 ms by the longest filter. */
const BYTES_PER_LOOK = 16_384;

export type SliceEnvironment = Pick<Environment, 'clock' | 'scheduler'>;

/** Whether nobody waits for the work any more. */
export type GivenUp = Pick<AbortSignal, 'aborted'>;

export class Slices {
  readonly #environment: SliceEnvironment;
  readonly #signal: AbortSignal | undefined;
  readonly #givenUp: GivenUp | undefined;
  readonly #nextTurn: () => Promise<void>;
  #startedMs: number;
  #bytesSinceLook = 0;

  /**
   * `signal` is aborted when the work has to end. `nextTurn` resolves when the next slice may
   * begin.
   *
   * @default the next turn of the event loop
   */
  constructor(
    environment: SliceEnvironment,
    signal?: AbortSignal,
    givenUp?: GivenUp,
    nextTurn?: () => Promise<void>,
  ) {
    this.#environment = environment;
    this.#signal = signal;
    this.#givenUp = givenUp;
    this.#nextTurn =
      nextTurn ?? (() => new Promise((resolve) => environment.scheduler.soon(resolve)));
    this.#startedMs = environment.clock.monotonicMs();
  }

  /** Whether the slice is used up: time to call `pause`. */
  get isOver(): boolean {
    return this.#environment.clock.monotonicMs() - this.#startedMs >= SLICE_MS;
  }

  /** As `isOver`, where that much metadata was judged; looks at the clock now and then. */
  isOverAfter(sizeBytes: number): boolean {
    this.#bytesSinceLook += sizeBytes;
    if (this.#bytesSinceLook < BYTES_PER_LOOK) return false;
    this.#bytesSinceLook = 0;
    return this.isOver;
  }

  /**
   * Lets everything that waits run, then begins a new slice. Where a signal is aborted by then,
   * rejects: with the reason of the one that ends the work, or CANCELLED.
   */
  async pause(): Promise<void> {
    await this.#nextTurn();
    this.#signal?.throwIfAborted();
    if (this.#givenUp?.aborted) {
      throw new FlotillaError('CANCELLED', 'nobody waits for the read any more');
    }
    this.#startedMs = this.#environment.clock.monotonicMs();
  }

  /** The same pages; pauses after a page where the slice is used up. */
  async *between<T>(pages: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const page of pages) {
      yield page;
      if (this.isOver) await this.pause();
    }
  }
}
