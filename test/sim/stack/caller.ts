/**
 * Goal: bring a client's calls to an end as the SDK does. Method: any node is asked, and another
 * after it; a write goes out again under the key that it had, or not at all.
 */
import type {
  CallOptions,
  RecordsBackend,
  WriteAnswer,
  WriteOptions,
} from '../../../src/server/backend.js';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import type { SeenShard } from '../../../src/shared/consistency.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import type { WriteOutcome } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Callee, ClientWire } from './client-wire.js';
import type { Findings } from './findings.js';
import { doubted, failedOutcomes, isRetryable, isWorthRetrying, merged } from './outcomes.js';
import type { Workload } from './workload.js';

export interface CallerOptions {
  readonly scheduler: Scheduler;
  readonly nowMs: () => number;
  readonly random: SimRandom;
  readonly wire: ClientWire;
  readonly workload: Pick<Workload, 'patienceMs' | 'attemptMs'>;
  readonly findings: Findings;
  /** Told what an answer to a write says of shards. */
  readonly onWritten: (written: readonly SeenShard[]) => void;
  /** Nodes whose process runs; some of them may be paused, cut off or not ready. */
  readonly nodes: () => readonly Callee[];
}

type Keyed = Pick<WriteOptions, 'idempotencyKey' | 'retry'>;

/** Sends one attempt at a write. */
export type SendWrite = (records: RecordsBackend, options: WriteOptions) => Promise<WriteAnswer>;

/** Sends a read to the node of that id. */
export type SendRead<T> = (
  records: RecordsBackend,
  options: CallOptions,
  nodeId: number,
) => Promise<T>;

const RETRY_MS = 40;

export class Caller {
  readonly #options: CallerOptions;
  #stopped = false;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Tries nothing again from here on. */
  stop(): void {
    this.#stopped = true;
  }

  /** What became of each record; never rejects. */
  async write(
    records: number,
    key: RequestKey | undefined,
    send: SendWrite,
  ): Promise<readonly WriteOutcome[]> {
    const { nowMs, workload, random, scheduler } = this.#options;
    const endMs = nowMs() + workload.patienceMs;
    const retry = key !== undefined && random.chance(0.5) ? 'client' : 'router';
    const keyed: Keyed = { idempotencyKey: key, retry };
    let known: readonly WriteOutcome[] = [];
    let isLost = false;
    for (;;) {
      const timeoutMs = Math.min(workload.attemptMs, endMs - nowMs());
      const attempt = await this.#attempt(records, keyed, send, timeoutMs);
      known = merged(known, isLost ? attempt.outcomes.map(doubted) : attempt.outcomes);
      isLost ||= attempt.isLost;
      if (known.length > 0 && !known.some(isWorthRetrying)) return known;
      await sleep(scheduler, random.next() * RETRY_MS);
      // Without a key of its own, a write of which anything may have happened is not sent again.
      const isSpent = key === undefined && known.some(({ kind: end }) => end !== 'not-applied');
      if (isSpent || this.#stopped || nowMs() >= endMs) return known;
    }
  }

  /** The answer, or `undefined` when none came in time. */
  async read<T>(send: SendRead<T>): Promise<T | undefined> {
    const { nowMs, workload, random, scheduler, wire } = this.#options;
    const endMs = nowMs() + workload.patienceMs;
    while (nowMs() < endMs) {
      const node = this.#someNode();
      if (node !== undefined) {
        try {
          const timeoutMs = Math.min(workload.attemptMs, endMs - nowMs());
          return await wire.call(node, timeoutMs, ({ records }, options) =>
            send(records, options, node.nodeId),
          );
        } catch (thrown) {
          if (!isRetryable(thrown, this.#options.findings)) break;
        }
      }
      if (this.#stopped) break;
      await sleep(scheduler, random.next() * RETRY_MS);
    }
    return undefined;
  }

  /** No outcomes where there was nobody to ask. */
  async #attempt(
    records: number,
    keyed: Keyed,
    send: SendWrite,
    timeoutMs: number,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly isLost: boolean }> {
    const { wire, findings } = this.#options;
    const node = this.#someNode();
    if (node === undefined) return { outcomes: [], isLost: false };
    try {
      const { outcomes, written } = await wire.call(
        node,
        timeoutMs,
        ({ records: backend }, options) => send(backend, { ...options, ...keyed }),
      );
      this.#options.onWritten(written);
      return { outcomes, isLost: false };
    } catch (thrown) {
      const outcomes = failedOutcomes(thrown, records, findings);
      return { outcomes, isLost: outcomes.some(({ kind }) => kind === 'unknown') };
    }
  }

  #someNode(): Callee | undefined {
    const nodes = this.#options.nodes();
    return nodes.length === 0 ? undefined : this.#options.random.pick(nodes);
  }
}
