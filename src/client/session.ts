/** Idempotency keys: who the client is, and which of its writes are still unanswered. */
import { randomUUID } from 'node:crypto';
import type { RequestKey } from '../shared/codec/command.js';

/**
 * One line of writes. A key is taken for each write, repeated by its retries, and released when
 * its last answer is there; what lies below the lowest unreleased one may be forgotten by shards.
 */
export class Session {
  readonly #clientId = randomUUID();
  readonly #clientStampMs = Date.now();
  /** In ascending order, because sequences are added in order. */
  readonly #unanswered = new Set<number>();
  #sequence = 0;

  take(): RequestKey {
    const sequence = ++this.#sequence;
    this.#unanswered.add(sequence);
    const [lowestUnanswered = sequence] = this.#unanswered;
    return {
      clientId: this.#clientId,
      clientStampMs: this.#clientStampMs,
      sequence,
      lowestUnanswered,
    };
  }

  release(key: RequestKey): void {
    this.#unanswered.delete(key.sequence);
  }
}
