/** How long reads that any replica may serve take of late, by operation and by node. */
import { RecentQuantile } from '../shared/recent-quantile.js';
import type { RouterOperation } from './hooks.js';

const OF_ALL = { quantile: 0.95, windowSize: 512, valuesMin: 30 } as const;
const OF_NODE = { quantile: 0.95, windowSize: 128, valuesMin: 30 } as const;

/** Below, timers and stalls of this process say more than the replica. */
const P95_MIN_MS = 2;
/** Above, it is no matter of a slow moment any more. */
const P95_MAX_MS = 1_000;

interface OperationTimes {
  readonly ofAll: RecentQuantile;
  readonly ofNodes: Map<number, RecentQuantile>;
}

export class AnswerTimes {
  readonly #operations = new Map<RouterOperation, OperationTimes>();

  /** A replica on the node has answered a read, or had not after so long. */
  note(operation: RouterOperation, nodeId: number, durationMs: number): void {
    let times = this.#operations.get(operation);
    if (times === undefined) {
      times = { ofAll: new RecentQuantile(OF_ALL), ofNodes: new Map() };
      this.#operations.set(operation, times);
    }
    let ofNode = times.ofNodes.get(nodeId);
    if (ofNode === undefined) {
      ofNode = new RecentQuantile(OF_NODE);
      times.ofNodes.set(nodeId, ofNode);
    }
    times.ofAll.add(durationMs);
    ofNode.add(durationMs);
  }

  /**
   * The p95 of the latest answers to the operation; at least 2 ms, at most a second. Undefined
   * before there are 30.
   */
  p95Ms(operation: RouterOperation): number | undefined {
    return bounded(this.#operations.get(operation)?.ofAll.value);
  }

  /** The same of the node's own answers; of all, while it has given too few. */
  p95OfNodeMs(operation: RouterOperation, nodeId: number): number | undefined {
    const times = this.#operations.get(operation);
    return bounded(times?.ofNodes.get(nodeId)?.value ?? times?.ofAll.value);
  }
}

function bounded(valueMs: number | undefined): number | undefined {
  return valueMs === undefined ? undefined : Math.min(Math.max(valueMs, P95_MIN_MS), P95_MAX_MS);
}
