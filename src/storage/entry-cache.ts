/**
 * The entries that were written last, of all groups of a store, bounded in bytes. What is older is
 * read from the database. Looking an entry up is O(1); putting one in, with what it evicts, too.
 */
import type { Entry } from '../raft/types.js';
import { assert } from '../shared/assert.js';

/** Counted for each entry beside its data: the objects around it. */
const ENTRY_OVERHEAD_BYTES = 128;
/** A queue gives its used-up front back once it is this long and half of the whole. */
const COMPACTION_MIN = 1024;

/** First in, first out, and readable by position; O(1) each, amortised. */
class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  at(position: number): T | undefined {
    return position < 0 ? undefined : this.#items[this.#head + position];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  pop(): T | undefined {
    return this.length > 0 ? this.#items.pop() : undefined;
  }

  shift(): T | undefined {
    const item = this.at(0);
    if (item === undefined) return undefined;
    // The array may stay long for a while; what it held must not stay with it.
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head >= COMPACTION_MIN && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** One write of a group: its entries are evicted together. */
interface Written {
  readonly entries: Queue<Entry>;
  readonly lastIndex: number;
}

function sizeOf(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

export class EntryCache {
  readonly #sizeMaxBytes: number;
  /** Writes whose entries were all replaced count no bytes, and must not pile up either. */
  readonly #writesMax: number;
  /** The entries of each group, without gaps. */
  readonly #groups = new Map<number, Queue<Entry>>();
  /** Every cached entry is at or before the last index of some write in here. */
  readonly #order = new Queue<Written>();
  #sizeBytes = 0;

  constructor(sizeMaxBytes: number) {
    this.#sizeMaxBytes = sizeMaxBytes;
    this.#writesMax = Math.ceil(sizeMaxBytes / ENTRY_OVERHEAD_BYTES);
  }

  /** Bytes in use: the entries' data and 128 bytes for each entry. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get(groupId: number, index: number): Entry | undefined {
    const entries = this.#groups.get(groupId);
    const first = entries?.at(0);
    return first && entries?.at(index - first.index);
  }

  /** Adds consecutive entries; those of the group at and after the first one's index go. */
  put(groupId: number, entries: readonly Entry[]): void {
    const first = entries[0];
    const last = entries[entries.length - 1];
    if (!first || !last) return;
    const cached = this.#groups.get(groupId) ?? new Queue<Entry>();
    this.#groups.set(groupId, cached);
    this.#removeFrom(cached, first.index);
    for (const entry of entries) {
      cached.push(entry);
      this.#sizeBytes += sizeOf(entry);
    }
    this.#order.push({ entries: cached, lastIndex: last.index });
    this.#evict();
  }

  /** Drops the entries of a group. O(entries). */
  drop(groupId: number): void {
    const cached = this.#groups.get(groupId);
    if (cached) this.#removeFrom(cached, 0);
    this.#groups.delete(groupId);
  }

  #removeFrom(cached: Queue<Entry>, index: number): void {
    let last = cached.at(cached.length - 1);
    while (last && last.index >= index) {
      this.#sizeBytes -= sizeOf(last);
      cached.pop();
      last = cached.at(cached.length - 1);
    }
    assert(!last || last.index === index - 1, () => `entry ${index} follows ${last?.index}`);
  }

  #evict(): void {
    while (this.#sizeBytes > this.#sizeMaxBytes || this.#order.length > this.#writesMax) {
      const oldest = this.#order.shift();
      if (!oldest) return;
      let first = oldest.entries.at(0);
      while (first && first.index <= oldest.lastIndex) {
        this.#sizeBytes -= sizeOf(first);
        oldest.entries.shift();
        first = oldest.entries.at(0);
      }
    }
  }
}
