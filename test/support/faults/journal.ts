/** All calls of a run with their outcomes: what the figures of a report are made of. */
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import type { Outcome } from '../../history/operation.js';

export interface JournalEntry {
  readonly start: number;
  readonly end: number;
  readonly outcome: Outcome;
  readonly kind: 'read' | 'write';
  /** The shard that was asked; undefined for calls that ask several. */
  readonly shardId: number | undefined;
  /** Absent where the outcome is ok. */
  readonly reason?: ErrorReason | undefined;
}

export interface Counts {
  readonly ok: number;
  readonly failed: number;
  readonly unknown: number;
  /** How many calls ended in each error, retries having been used up. */
  readonly reasons: Readonly<Partial<Record<ErrorReason, number>>>;
}

export class Journal {
  /** In the order of the ends. */
  readonly #entries: JournalEntry[] = [];
  #okCount = 0;

  note(entry: JournalEntry): void {
    this.#entries.push(entry);
    if (entry.outcome === 'ok') this.#okCount++;
  }

  get okCount(): number {
    return this.#okCount;
  }

  /** The calls that ended in `from <= end < to`. Looks at all. */
  counts(from = -Infinity, to = Infinity): Counts {
    const reasons: Partial<Record<ErrorReason, number>> = {};
    const totals: Record<Outcome, number> = { ok: 0, fail: 0, unknown: 0 };
    for (const { end, outcome, reason } of this.#entries) {
      if (end < from || end >= to) continue;
      totals[outcome]++;
      if (reason !== undefined) reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
    return { ok: totals.ok, failed: totals.fail, unknown: totals.unknown, reasons };
  }

  /** When the shard first acknowledged a write that began at `from` or later. */
  firstWriteAfter(from: number, shardId: number): number | undefined {
    return this.#entries.find(
      (entry) =>
        entry.start >= from &&
        entry.kind === 'write' &&
        entry.outcome === 'ok' &&
        entry.shardId === shardId,
    )?.end;
  }
}
