/**
 * Nodes that this one gets no answer from although others may, as far as this router has noticed.
 * Only hints: calls go round these nodes, and now and then one looks whether that is still needed.
 */
import type { Clock } from '../shared/environment.js';
import type { ReplicaEntry } from '../topology/document.js';

const LOOK_AGAIN_MS = 500;

/**
 * `unlinked`: there is no link, and trying tells so at once. `silent`: there is one, over which no
 * answer comes; trying costs time.
 */
export type Unreached = 'unlinked' | 'silent';

interface Mark {
  how: Unreached;
  lookedAtMs: number;
}

export class UnreachedNodes {
  readonly #clock: Clock;
  readonly #marks = new Map<number, Mark>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is known of the node; undefined where it is reached, as far as this router knows. */
  how(nodeId: number): Unreached | undefined {
    return this.#marks.get(nodeId)?.how;
  }

  /** A node that was silent stays so until it answers: a link that opens says little. */
  mark(nodeId: number, how: Unreached): void {
    const known = this.#marks.get(nodeId);
    if (known === undefined) {
      this.#marks.set(nodeId, { how, lookedAtMs: this.#clock.monotonicMs() });
    } else if (how === 'silent') {
      known.how = how;
    }
  }

  /** The node has answered. */
  clear(nodeId: number): void {
    this.#marks.delete(nodeId);
  }

  /** Whether the caller is to look at these replicas again: once in a while, if any is marked. */
  takeLook(replicas: readonly ReplicaEntry[]): boolean {
    if (this.#marks.size === 0) return false;
    const nowMs = this.#clock.monotonicMs();
    const due = replicas
      .flatMap(({ nodeId }) => this.#marks.get(nodeId) ?? [])
      .filter(({ lookedAtMs }) => nowMs - lookedAtMs >= LOOK_AGAIN_MS);
    for (const mark of due) mark.lookedAtMs = nowMs;
    return due.length > 0;
  }
}
