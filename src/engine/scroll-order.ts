/**
 * Which records come next in a scroll. One look at all names finds some thousands of them in order;
 * the pages that follow take theirs from what is left, while nothing in the collection changes.
 */
import { TopK } from '../shared/heap.js';
import { comparePositions, type ScrollPosition } from '../shared/scroll-position.js';
import { firstWhere } from './binary-search.js';
import type { Collection } from './collection.js';
import type { ScrollQuery } from './engine.js';
import type { RowSelector } from './plan/row-matcher.js';
import { type RecordName, recordOfName } from './record-name.js';
import type { Row } from './rows.js';
import { ROWS_PER_LOOK, type Slices } from './slices.js';

/** Names that are found at once: all that a page may look at, about 1 MiB. */
const BATCH_NAMES = 8_192;
/** Scrolls that may take turns before one has to look anew. */
const BATCHES_MAX = 4;

export interface NamedPosition extends ScrollPosition {
  readonly name: RecordName;
}

/** What comes after a position. */
export interface NextNames {
  /** In order. */
  readonly names: readonly NamedPosition[];
  /** Whether there are others behind them. */
  readonly hasMore: boolean;
}

interface Batch extends NextNames {
  readonly collection: Collection;
  /** The collection as it was; see `PayloadIndex.changes`. */
  readonly changes: number;
  readonly after: ScrollPosition | undefined;
}

export class ScrollOrder {
  /** By collection id and what is selected; the one that was asked for last at the end. */
  readonly #batches = new Map<string, Batch>();

  /** Batches that are kept, of about a MiB each. */
  get size(): number {
    return this.#batches.size;
  }

  /** Frees what is kept of collections that were dropped. */
  forgetDropped(): void {
    for (const [key, { collection }] of this.#batches) {
      if (collection.index.disposed) this.#batches.delete(key);
    }
  }

  /**
   * The first records after the query's position that may match. Costs a comparison of ids for each
   * that may, or for each of a few thousand records once while the collection stays as it is.
   */
  async after(
    collection: Collection,
    query: ScrollQuery,
    selector: RowSelector,
    slices: Slices,
  ): Promise<NextNames> {
    const key = keyOf(collection, query);
    const known = this.#batches.get(key);
    this.#batches.delete(key);
    const batch =
      known !== undefined && isStillRight(known, collection, query.after)
        ? known
        : await findNext(collection, query.after, selector, slices);
    // Dropped while its names were looked at: nobody would free them any more.
    if (!collection.index.disposed) this.#batches.set(key, batch);
    const [oldest] = this.#batches.keys();
    if (this.#batches.size > BATCHES_MAX && oldest !== undefined) this.#batches.delete(oldest);
    const { after } = query;
    const names = after === undefined ? batch.names : batch.names.slice(countUpTo(batch, after));
    return { names, hasMore: batch.hasMore };
  }
}

function keyOf({ collectionId }: Collection, { filter, tenant, shardKeys }: ScrollQuery): string {
  const selected = filter === undefined ? null : Buffer.from(filter).toString('latin1');
  return JSON.stringify([collectionId, tenant ?? null, selected, shardKeys ?? null]);
}

/** Whether the batch has what comes after the position, were it found now. */
function isStillRight(
  { changes, after: start, names, hasMore }: Batch,
  { payload }: Collection,
  after: ScrollPosition | undefined,
): boolean {
  if (changes !== payload.changes) return false;
  if (start !== undefined && (after === undefined || comparePositions(after, start) < 0)) {
    return false;
  }
  const last = names.at(-1);
  if (!hasMore || after === undefined) return true;
  return last !== undefined && comparePositions(after, last) < 0;
}

async function findNext(
  collection: Collection,
  after: ScrollPosition | undefined,
  { filter, tenant, shardKeys }: RowSelector,
  slices: Slices,
): Promise<Batch> {
  const { rows: table } = collection.index;
  const { payload } = collection;
  const { changes } = payload;
  const first = new TopK<NamedPosition>(BATCH_NAMES, comparePositions);
  let found = 0;
  const unpin = table.pin();
  try {
    const rows = payload.resolve(filter, tenant, shardKeys).possible.rows().toRows();
    for (let at = 0; at < rows.length; at++) {
      if (at % ROWS_PER_LOOK === 0 && slices.isOver) await slices.pause();
      const row = rows[at] as Row;
      if (!table.hasRow(row)) continue;
      const name = table.nameOf(row);
      const key = recordOfName(name);
      const position = { id: key.id, tenant: key.tenant, name };
      if (after !== undefined && comparePositions(position, after) <= 0) continue;
      found++;
      first.offer(position);
    }
  } finally {
    unpin();
  }
  return { collection, changes, after, names: first.drain(), hasMore: found > BATCH_NAMES };
}

/** How many names of the batch are at the position or before it. */
function countUpTo({ names }: Batch, position: ScrollPosition): number {
  return firstWhere(names.length, (at) => {
    return comparePositions(names[at] as NamedPosition, position) > 0;
  });
}
