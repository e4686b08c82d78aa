/**
 * Shards that own nothing by the table of a search that may do without shards. By a newer table one
 * of them may own what a shard has lost that does not answer, and no other shard would refuse the
 * older one: hits would be missing of a shard that the answer does not name.
 */
import { GiveUp } from '../shared/give-up.js';
import type { FailedShard } from './requests.js';
import { failuresAmong } from './scatter.js';
import type { TimeBudget } from './time-budget.js';

export class Bystanders {
  readonly #signal: TimeBudget['signal'];
  readonly #giveUp = new GiveUp();
  readonly #missing: Promise<readonly FailedShard[]>;

  /**
   * Asks them all, in parallel, for something that they answer only where the table is theirs. Goes
   * on until `dismiss` is called.
   */
  constructor(
    shardIds: readonly number[],
    budget: TimeBudget,
    ask: (shardId: number, budget: TimeBudget) => Promise<unknown>,
  ) {
    this.#signal = budget.signal;
    this.#signal?.addEventListener('abort', this.dismiss, { once: true });
    if (budget.isCancelled) this.dismiss();
    const own = budget.endedBy(this.#giveUp);
    this.#missing = Promise.allSettled(shardIds.map((shardId) => ask(shardId, own))).then(
      (settled) => failuresAmong(shardIds, settled),
    );
    // Mostly nobody asks.
    this.#missing.catch(() => undefined);
  }

  /** Those that do not answer. Rejects with STALE_TOPOLOGY where one has another table. */
  missing(): Promise<readonly FailedShard[]> {
    return this.#missing;
  }

  readonly dismiss = (): void => {
    this.#signal?.removeEventListener('abort', this.dismiss);
    this.#giveUp.abort();
  };
}
