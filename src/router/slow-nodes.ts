/**
 * Nodes that answer reads late time after time, while others do not: a slow disk, a busy neighbour.
 * Only hints: reads that any replica may serve pass these nodes by, and now and then one of them
 * looks whether that is still needed.
 */
import type { Clock } from '../shared/environment.js';

/** One stall makes a few answers late. */
const LATE_MAX = 5;
const LOOK_AGAIN_MS = 1_000;

interface Lateness {
  inRow: number;
  askedAtMs: number;
}

export class SlowNodes {
  readonly #clock: Clock;
  readonly #late = new Map<number, Lateness>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isPassedBy(nodeId: number): boolean {
    const late = this.#late.get(nodeId);
    if (late === undefined || late.inRow < LATE_MAX) return false;
    return this.#clock.monotonicMs() - late.askedAtMs < LOOK_AGAIN_MS;
  }

  /** A read goes to the node: where it is one that looks, it is the only one for a while. */
  noteAsked(nodeId: number): void {
    const late = this.#late.get(nodeId);
    if (late !== undefined) late.askedAtMs = this.#clock.monotonicMs();
  }

  /** The node took much longer than others would have. */
  noteLate(nodeId: number): void {
    const late = this.#late.get(nodeId);
    if (late !== undefined) late.inRow += 1;
    else this.#late.set(nodeId, { inRow: 1, askedAtMs: this.#clock.monotonicMs() });
  }

  /** The node has not answered for so long that no further proof is needed. */
  noteSilent(nodeId: number): void {
    this.#late.set(nodeId, { inRow: LATE_MAX, askedAtMs: this.#clock.monotonicMs() });
  }

  noteTimely(nodeId: number): void {
    this.#late.delete(nodeId);
  }
}
