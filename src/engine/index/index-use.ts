/** What may be done to an index at the moment: the rules of `VectorIndex` that all kinds share. */
import { assert } from '../../shared/assert.js';

type FileWork = 'writing' | 'loading';

/**
 * Searches go on while an index is written to a file, and changes do not; nothing goes on while it
 * is loaded, or after it was disposed of. What is forbidden throws `InvariantError`.
 */
export class IndexUse {
  readonly #free: () => void;
  #fileWork: FileWork | 'none' = 'none';
  #isDisposed = false;

  /** `free` is called once: by `dispose`, or when the file work ends that is under way then. */
  constructor(free: () => void) {
    this.#free = free;
  }

  assertReadable(): void {
    assert(!this.#isDisposed, 'the index is disposed');
    assert(this.#fileWork !== 'loading', 'the index is being loaded');
  }

  assertChangeable(): void {
    this.assertReadable();
    assert(this.#fileWork === 'none', 'the index is being written to a file');
  }

  /** Does what takes many turns, to an index that may be changed when it begins. */
  async during<T>(work: FileWork, run: () => Promise<T>): Promise<T> {
    this.assertChangeable();
    this.#fileWork = work;
    try {
      return await run();
    } finally {
      this.#fileWork = 'none';
      if (this.#isDisposed) this.#free();
    }
  }

  /** Idempotent. */
  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    if (this.#fileWork === 'none') this.#free();
  }
}
