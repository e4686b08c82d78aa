/** Goal: idempotency keys as the SDK makes them. Method: its rules, on virtual time. */
import type { RequestKey } from '../../../src/shared/codec/command.js';

/** One line of writes of a client; see `Session` of the SDK. */
export class ClientSession {
  readonly #clientId: string;
  readonly #clientStampMs: number;
  readonly #unanswered = new Set<number>();
  #sequence = 0;

  constructor(clientId: string, clientStampMs: number) {
    this.#clientId = clientId;
    this.#clientStampMs = clientStampMs;
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
