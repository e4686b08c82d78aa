/** Saying that nobody waits for a call any more. */

/** The part of an `AbortSignal` that calls need; every `AbortSignal` is one. */
export interface GiveUpSignal {
  readonly aborted: boolean;
  /**
   * Calls `listener` when the caller gives up; never where that has happened already. It must not
   * throw.
   */
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * One that this process fires itself. Each call has one and each replica that is asked listens to
 * it, which through the events of an `AbortSignal` takes microseconds.
 */
export class GiveUp implements GiveUpSignal {
  #aborted = false;
  #listeners: Set<() => void> | undefined;

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.#aborted) return;
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners?.delete(listener);
  }

  /** Calls each listener once, in the order in which they came, whatever one throws. Idempotent. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    // One that a listener before it removes is left out.
    for (const listener of this.#listeners ?? []) told(listener);
    this.#listeners = undefined;
  }
}

/** As an `AbortSignal` does: the process hears of what is thrown, not who gave up. */
function told(listener: () => void): void {
  try {
    listener();
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}
