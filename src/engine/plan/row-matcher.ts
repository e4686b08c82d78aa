/** Whether rows match a filter, now and while they change: by the indexes, or by the metadata. */
import type { Filter } from '../../shared/filter.js';
import type { Version } from '../../shared/types.js';
import type { Collection } from '../collection.js';
import { compileFilter, type MetadataTest } from '../filter/compiled-filter.js';
import type { Resolution } from '../payload/payload-index.js';
import type { RecordValue } from '../record-value.js';
import type { RecordView } from '../record-view.js';
import type { Row } from '../rows.js';

/** Decisions that are remembered, about: a MiB or two. */
const DECISIONS_MAX = 16_384;

/** Which records are selected: all conditions hold, where they are there. */
export interface RowSelector {
  readonly filter?: Filter;
  readonly tenant?: string;
  readonly shardKeys?: readonly string[];
}

/** What the metadata of a row said, and of which version of it. */
interface Decision {
  readonly version: Version;
  readonly isMatch: boolean;
}

/**
 * Judges rows for one query; every answer holds for the turn in which it is given. A row of which
 * the indexes cannot tell costs a read of its record the first time, and after each change.
 */
export class RowMatcher {
  readonly #collection: Collection;
  readonly #records: RecordView;
  readonly #selector: RowSelector;
  /** Made when the first record is judged: mostly the indexes know all. */
  #test: MetadataTest | undefined;
  readonly #decisions = new Map<Row, Decision>();
  #resolution: Resolution;
  #changes: number;
  #reads = 0;

  constructor(collection: Collection, records: RecordView, selector: RowSelector) {
    const { payload } = collection;
    this.#collection = collection;
    this.#records = records;
    this.#selector = selector;
    this.#resolution = payload.resolve(selector.filter, selector.tenant, selector.shardKeys);
    this.#changes = payload.changes;
  }

  /** What the indexes know now. */
  get resolution(): Resolution {
    const { payload } = this.#collection;
    if (payload.changes !== this.#changes) {
      const { filter, tenant, shardKeys } = this.#selector;
      this.#resolution = payload.resolve(filter, tenant, shardKeys);
      this.#changes = payload.changes;
    }
    return this.#resolution;
  }

  /** Records that were judged by their metadata so far. */
  get reads(): number {
    return this.#reads;
  }

  /** To be called now and then where many rows are judged: what was decided is forgotten. */
  limitMemory(): void {
    if (this.#decisions.size > DECISIONS_MAX) this.#decisions.clear();
  }

  /** Whether the row is in use, and the indexes do not rule it out. */
  isPossible(row: Row): boolean {
    // Of a collection that was dropped meanwhile the payload index still has all rows.
    return this.#collection.index.rows.hasRow(row) && this.resolution.possible.has(row);
  }

  /** Whether the row is in use and its record matches. */
  matches(row: Row): boolean {
    return this.known(row) ?? this.#readNow(row);
  }

  /** As `matches`; `undefined` where only the record can tell. */
  known(row: Row): boolean | undefined {
    if (!this.isPossible(row)) return false;
    const { certain, isExact } = this.resolution;
    if (isExact || certain.has(row)) return true;
    const { index } = this.#collection;
    const decision = this.#decisions.get(row);
    return decision?.version === index.rows.versionOf(row) ? decision.isMatch : undefined;
  }

  /** Judges a row by a record that was read as it is, or was, in that version. */
  decide(row: Row, version: Version, record: RecordValue | undefined): void {
    this.#reads++;
    // Of a collection that was dropped meanwhile nothing may be left.
    this.#test ??= metadataTest(this.#collection, this.#selector);
    const isMatch = record !== undefined && this.#test(record.metadata);
    this.#decisions.set(row, { version, isMatch });
  }

  #readNow(row: Row): boolean {
    const { rows } = this.#collection.index;
    this.decide(row, rows.versionOf(row), this.#records.readNow(rows.nameOf(row)));
    return this.known(row) ?? false;
  }
}

/** The selector's filter as a test of metadata; all pass where it has none. */
export function metadataTest({ config }: Collection, { filter }: RowSelector): MetadataTest {
  return filter === undefined ? () => true : compileFilter(filter, config.indexedFields);
}
