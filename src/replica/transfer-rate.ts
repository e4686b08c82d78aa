/** The bandwidth that all snapshots which this node sends share (P5). */
import { type Environment, sleep } from '../shared/environment.js';

/**
 * Hands out bytes at a steady rate: whoever takes some waits until those before are paid for. A
 * pause is not saved up, so that no burst follows it.
 */
export class TransferRate {
  readonly #environment: Pick<Environment, 'clock' | 'scheduler'>;
  readonly #bytesPerMs: number;
  #paidUntilMs = 0;

  /** `bytesPerSecond` may be infinite. */
  constructor(environment: Pick<Environment, 'clock' | 'scheduler'>, bytesPerSecond: number) {
    this.#environment = environment;
    this.#bytesPerMs = bytesPerSecond / 1_000;
  }

  /** Resolves when `sizeBytes` may leave, or at once when `signal` is aborted. */
  async take(sizeBytes: number, signal: AbortSignal): Promise<void> {
    const { clock, scheduler } = this.#environment;
    const nowMs = clock.monotonicMs();
    const startMs = Math.max(nowMs, this.#paidUntilMs);
    this.#paidUntilMs = startMs + sizeBytes / this.#bytesPerMs;
    if (startMs > nowMs) await sleep(scheduler, startMs - nowMs, signal);
  }
}
