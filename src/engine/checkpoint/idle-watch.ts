/** Tells of collections that rest: nothing was noted of them for a while. */
import type { Timer } from '../../shared/environment.js';
import type { Collection } from '../collection.js';
import type { SliceEnvironment } from '../slices.js';

export interface IdleWatchOptions {
  readonly environment: SliceEnvironment;
  readonly idleMs: number;
  /** Called once for each that was noted, when that is so long ago. */
  readonly onIdle: (collection: Collection) => void;
}

/** One timer for all, which is pending while there is one to tell of, and not moved by notes. */
export class IdleWatch {
  readonly #options: IdleWatchOptions;
  /** When each was noted last. */
  readonly #notedMs = new Map<Collection, number>();
  #timer: Timer | undefined;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
  }

  /** Something was done to the collection. */
  note(collection: Collection): void {
    const { environment, idleMs } = this.#options;
    this.#notedMs.set(collection, environment.clock.monotonicMs());
    if (this.#timer === undefined) this.#lookIn(idleMs);
  }

  /** Nothing is told any more, of what was noted before. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#notedMs.clear();
  }

  #lookIn(delayMs: number): void {
    this.#timer = this.#options.environment.scheduler.after(delayMs, () => this.#look());
  }

  #look(): void {
    const { environment, idleMs, onIdle } = this.#options;
    const nowMs = environment.clock.monotonicMs();
    const idle: Collection[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [collection, notedMs] of this.#notedMs) {
      const leftMs = notedMs + idleMs - nowMs;
      if (leftMs > 0) nextMs = Math.min(nextMs, leftMs);
      else idle.push(collection);
    }
    for (const collection of idle) this.#notedMs.delete(collection);
    this.#timer = undefined;
    if (this.#notedMs.size > 0) this.#lookIn(nextMs);
    for (const collection of idle) onIdle(collection);
  }
}
