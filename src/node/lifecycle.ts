/** Stops what was started, in the reverse order. */
import type { Logger } from '../shared/logger.js';

interface Part {
  readonly name: string;
  readonly stop: () => void | Promise<void>;
}

export class Lifecycle {
  readonly #parts: Part[] = [];
  readonly #logger: Logger;
  #stopping: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Call right after a part has started. */
  add(name: string, stop: Part['stop']): void {
    this.#parts.push({ name, stop });
  }

  /** Stops all parts, the last started first; one that fails does not keep others. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const part of this.#parts.reverse()) {
      try {
        await part.stop();
      } catch (error) {
        this.#logger.error(
          { part: part.name, error: String(error) },
          'a part did not stop cleanly',
        );
      }
    }
  }
}
