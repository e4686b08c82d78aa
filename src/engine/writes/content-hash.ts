/**
 * The content hash of a collection, kept up by every write: the sums of its slots, and the hash of
 * each record in memory, so that neither an update nor a delete reads what it replaces. 16 bytes a
 * row, and a hash of the new record a write (W4).
 */
import type { RecordKey } from '../engine.js';
import type { RecordValue } from '../record-value.js';
import type { Row } from '../rows.js';
import { HASH_WORDS, RecordHasher } from './record-hash.js';
import { SlotSums } from './slot-sums.js';

const INITIAL_ROWS = 64;

export class ContentHash {
  readonly sums = new SlotSums();
  readonly #hasher = new RecordHasher();
  /** Four words a row. */
  #hashes = new Uint32Array(HASH_WORDS * INITIAL_ROWS);
  /** Slots whose sums have changed since they were last taken. */
  #changed = new Set<number>();

  get memoryBytes(): number {
    return this.#hashes.byteLength;
  }

  /** Counts a record in. `existed`: the row held the record as it was before, which goes. */
  put(row: Row, { slot, tenant, id }: RecordKey, value: RecordValue, existed: boolean): void {
    const at = HASH_WORDS * row;
    if (existed) this.sums.subtract(slot, this.#hashes, at);
    else if (at >= this.#hashes.length) this.#grow(at);
    this.#hasher.hash(tenant, id, value, this.#hashes, at);
    this.sums.add(slot, this.#hashes, at);
    this.#changed.add(slot);
  }

  /** Counts a record out that was in `row`. */
  remove(row: Row, { slot }: RecordKey): void {
    this.sums.subtract(slot, this.#hashes, HASH_WORDS * row);
    this.#changed.add(slot);
  }

  /** Hands out the slots whose sums have changed, once. */
  takeChanged(): ReadonlySet<number> {
    const changed = this.#changed;
    if (changed.size > 0) this.#changed = new Set();
    return changed;
  }

  #grow(at: number): void {
    let length = this.#hashes.length;
    while (length <= at) length *= 2;
    const grown = new Uint32Array(length);
    grown.set(this.#hashes);
    this.#hashes = grown;
  }
}
