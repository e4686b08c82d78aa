/**
 * Moves what the heads hold into the graphs, and renews worn ones, in slices of a few milliseconds
 * beside the requests: one insert at a time, and after each it lets those go first that wait (H2).
 * Without work it does nothing, and nothing of it is pending. What a step costs does not depend on
 * the number of collections: it is told which may have work, and asks no others.
 */
import { defined } from '../shared/assert.js';
import type { Collection } from './collection.js';
import type { RecordName } from './record-name.js';
import type { RecordView } from './record-view.js';
import { type SliceEnvironment, Slices } from './slices.js';

/** Ends a slice where the clock stands still. */
const STEPS_PER_SLICE_MAX = 64;

export interface MoverOptions {
  readonly environment: SliceEnvironment;
  readonly recordsOf: (collection: Collection) => RecordView;
  /** Called after each slice, with the collections that had a step in it. */
  readonly onSlice: (worked: Iterable<Collection>) => void;
  /** Whether requests wait for the thread, or for something that ends on it. */
  readonly requestsWait: () => boolean;
  /** Answers some of those that wait, where that can be done at once. */
  readonly answerWaiting: () => void;
  /** Ends the work, and the waits for room with its reason. */
  readonly signal: AbortSignal;
  /** Called when an insert or a read fails; the shard cannot go on. */
  readonly onFailure: (error: unknown) => void;
}

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Mover {
  readonly #options: MoverOptions;
  readonly #slices: Slices;
  readonly #waiters = new Set<Waiter>();
  readonly #abort = (): void => {
    this.#stopped = true;
    this.#rejectAll(this.#options.signal.reason);
  };
  #running: Promise<void> | undefined;
  /** Those that have work, or had some when they were named; the next to have a step first. */
  readonly #waiting = new Set<Collection>();
  /** Over what waits, with no end: what it has reached is taken out, and may come in again. */
  readonly #turns = this.#waiting.values();
  /** Those that had a step in this slice. */
  #worked = new Set<Collection>();
  #stopped = false;
  /** What the work ended with. */
  #failure: { readonly error: unknown } | undefined;

  constructor(options: MoverOptions) {
    this.#options = options;
    this.#slices = new Slices(options.environment);
    const { signal } = options;
    if (signal.aborted) this.#abort();
    else signal.addEventListener('abort', this.#abort, { once: true });
  }

  /**
   * Goes on with the work that there is, if there is, in a later turn. Must be given each
   * collection that may have come by work since it had none: one that has no work now, also while
   * it is saved or loaded, is forgotten.
   */
  wake(collections: Iterable<Collection> = []): void {
    for (const collection of collections) this.#enqueue(collection);
    this.#checkWaiters();
    if (this.#running !== undefined || this.#stopped || this.#waiting.size === 0) return;
    this.#running = this.#run();
  }

  /**
   * Resolves when `isMet` answers true, now or after a step. Rejects when the signal is aborted or
   * the work has failed.
   */
  async until(isMet: () => boolean): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.error;
    if (isMet()) return;
    this.wake();
    await new Promise<void>((resolve, reject) => {
      this.#waiters.add({ isMet, resolve, reject });
    });
  }

  /** Resolves when the step under way has ended; what is left is made anew after the next open. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#options.signal.removeEventListener('abort', this.#abort);
    await this.#running;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    try {
      for (;;) {
        await this.#slices.pause();
        const hasMore = await this.#slice();
        const worked = this.#worked;
        this.#worked = new Set();
        this.#options.onSlice(worked);
        if (!hasMore) return;
      }
    } catch (error) {
      if (!this.#stopped) {
        this.fail(error);
        this.#options.onFailure(error);
      }
    } finally {
      this.#running = undefined;
      // Between the look that found nothing and this line somebody may have brought work.
      this.wake();
    }
  }

  /** Ends the work, and rejects what waits for it: the shard has failed elsewhere. */
  fail(error: unknown): void {
    this.#stopped = true;
    this.#failure ??= { error };
    this.#rejectAll(this.#failure.error);
  }

  /** Returns whether there is more to do. */
  async #slice(): Promise<boolean> {
    for (let steps = 0; steps < STEPS_PER_SLICE_MAX; steps++) {
      const collection = this.#stopped ? undefined : this.#next();
      if (collection === undefined) return false;
      const { index } = collection;
      // Also those that came while others had their turn: they would wait for the step as well.
      this.#options.answerWaiting();
      const missing = index.missingVectors();
      if (missing.length > 0) await this.#fetchVectors(collection, missing);
      else index.step();
      this.#worked.add(collection);
      this.#enqueue(collection);
      this.#checkWaiters();
      if (this.#slices.isOver || this.#options.requestsWait()) break;
    }
    return this.#waiting.size > 0;
  }

  /** The collections take turns, a step each. */
  #enqueue(collection: Collection): void {
    if (collection.index.hasWork) this.#waiting.add(collection);
  }

  /** Takes out the collection whose turn it is; what has lost its work meanwhile is passed by. */
  #next(): Collection | undefined {
    while (this.#waiting.size > 0) {
      const collection = defined(this.#turns.next().value, 'a collection that waits');
      this.#waiting.delete(collection);
      if (collection.index.hasWork) return collection;
    }
    return undefined;
  }

  async #fetchVectors(collection: Collection, names: readonly RecordName[]): Promise<void> {
    const { index } = collection;
    const values = await this.#options.recordsOf(collection).read(names);
    for (const [at, name] of names.entries()) {
      const value = values[at];
      if (value !== undefined) index.supply(name, value);
    }
  }

  #checkWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isMet()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  #rejectAll(error: unknown): void {
    for (const { reject } of this.#waiters) reject(error);
    this.#waiters.clear();
  }
}
