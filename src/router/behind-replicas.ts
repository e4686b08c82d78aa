/**
 * Replicas that did not come up to a read which had to be fresh. Only hints: each such read at one
 * of them waits in vain for a good part of its time, so that others are asked first, and now and
 * then one of them looks whether that is still needed.
 */
import type { Clock } from '../shared/environment.js';

const LOOK_AGAIN_MS = 1_000;

export class BehindReplicas {
  readonly #clock: Clock;
  /** By shard and node: when one was last asked, by the monotonic clock. */
  readonly #askedAtMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  comesLast(shardId: number, nodeId: number): boolean {
    const askedAtMs = this.#askedAtMs.get(keyOf(shardId, nodeId));
    return askedAtMs !== undefined && this.#clock.monotonicMs() - askedAtMs < LOOK_AGAIN_MS;
  }

  /** A read goes to the replica: where it is one that looks, it is the only one for a while. */
  noteAsked(shardId: number, nodeId: number): void {
    const key = keyOf(shardId, nodeId);
    if (this.#askedAtMs.has(key)) this.#askedAtMs.set(key, this.#clock.monotonicMs());
  }

  noteBehind(shardId: number, nodeId: number): void {
    this.#askedAtMs.set(keyOf(shardId, nodeId), this.#clock.monotonicMs());
  }

  /** The replica has served a read that had to be fresh. */
  noteFresh(shardId: number, nodeId: number): void {
    this.#askedAtMs.delete(keyOf(shardId, nodeId));
  }
}

function keyOf(shardId: number, nodeId: number): string {
  return `${shardId}/${nodeId}`;
}
