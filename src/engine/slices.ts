/** Long work in slices, so that what waits on the same thread gets its turn in between. */
import type { Environment } from '../shared/environment.js';

/** A few graph inserts; what a search may have to wait for. */
const SLICE_MS = 4;

export type SliceEnvironment = Pick<Environment, 'clock' | 'scheduler'>;

export class Slices {
  readonly #environment: SliceEnvironment;
  readonly #signal: AbortSignal | undefined;
  #startedMs: number;

  constructor(environment: SliceEnvironment, signal?: AbortSignal) {
    this.#environment = environment;
    this.#signal = signal;
    this.#startedMs = environment.clock.monotonicMs();
  }

  /** Whether the slice is used up: time to call `pause`. */
  get isOver(): boolean {
    return this.#environment.clock.monotonicMs() - this.#startedMs >= SLICE_MS;
  }

  /**
   * Lets everything that waits run, then begins a new slice. Rejects with the signal's reason
   * where it is aborted by then.
   */
  async pause(): Promise<void> {
    await new Promise<void>((resolve) => this.#environment.scheduler.soon(resolve));
    this.#signal?.throwIfAborted();
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
