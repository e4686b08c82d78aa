/** How far a transfer has come, and how fast. */
import type { Clock } from '../shared/environment.js';

export interface TransferProgress {
  readonly doneBytes: number;
  readonly sizeBytes: number;
  /** Since it began or went on, without what had been done before. */
  readonly bytesPerSecond: number;
}

export class TransferMeter {
  readonly #clock: Clock;
  readonly #sizeBytes: number;
  #startMs: number | undefined;
  #startBytes = 0;
  #doneBytes = 0;

  constructor(clock: Clock, sizeBytes: number) {
    this.#clock = clock;
    this.#sizeBytes = sizeBytes;
  }

  /** Whether `offset` is farther than ever before. The first one is what was done already. */
  reached(offset: number): boolean {
    if (this.#startMs === undefined) {
      this.#startMs = this.#clock.monotonicMs();
      this.#startBytes = offset;
      this.#doneBytes = offset;
      return true;
    }
    if (offset <= this.#doneBytes) return false;
    this.#doneBytes = offset;
    return true;
  }

  get progress(): TransferProgress {
    const elapsedMs = this.#clock.monotonicMs() - (this.#startMs ?? 0);
    const movedBytes = this.#doneBytes - this.#startBytes;
    return {
      doneBytes: this.#doneBytes,
      sizeBytes: this.#sizeBytes,
      bytesPerSecond: movedBytes > 0 && elapsedMs > 0 ? (movedBytes * 1_000) / elapsedMs : 0,
    };
  }
}
