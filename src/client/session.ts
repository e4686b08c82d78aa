/** Idempotency keys: who the client is, and which of its writes are still unanswered. */
import { randomUUID } from 'node:crypto';
import type { RequestKey } from '../shared/codec/command.js';
import { LIMITS } from '../shared/limits.js';

/** Shards remember this many writes of a client; half of it leaves room for stragglers. */
const WINDOW_WRITES = LIMITS.sessionRequestsMax.value / 2;

/**
 * One line of writes. A key is taken for each write, repeated by its retries, and released when
 * its last answer is there; what lies below the lowest unreleased one may be forgotten by shards.
 */
export class Session {
  readonly #clientId: string;
  readonly #clientStampMs: number;
  /** In ascending order, because sequences are added in order. */
  readonly #unanswered = new Set<number>();
  #sequence = 0;

  /** Nobody else may use the client id. The stamp is when it was made, by the wall clock. */
  constructor(clientId: string = randomUUID(), clientStampMs: number = Date.now()) {
    this.#clientId = clientId;
    this.#clientStampMs = clientStampMs;
  }

  /**
   * Whether a write has stayed unanswered for so many others that shards might soon forget it:
   * later ones belong in a new session.
   */
  get isFull(): boolean {
    const next = this.#sequence + 1;
    const [lowestUnanswered = next] = this.#unanswered;
    return next - lowestUnanswered >= WINDOW_WRITES;
  }

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
