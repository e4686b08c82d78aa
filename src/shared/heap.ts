/** Keeping the best `k` of many items without sorting them all. */

/** Negative when `a` comes before `b`, positive when after, 0 when neither. */
export type Compare<T> = (a: T, b: T) => number;

/**
 * The `capacity` items that come first, of all that were offered: a max-heap whose root is the
 * worst item kept. `offer` costs one comparison for an item that is not kept, and
 * O(log capacity) for one that is.
 */
export class TopK<T> {
  readonly #capacity: number;
  readonly #compare: Compare<T>;
  readonly #heap: T[] = [];

  constructor(capacity: number, compare: Compare<T>) {
    this.#capacity = capacity;
    this.#compare = compare;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** The last of the items kept, once there are `capacity` of them: what a new item must beat. */
  get bound(): T | undefined {
    return this.#heap.length < this.#capacity ? undefined : this.#heap[0];
  }

  /** Takes the item in where it is among the first `capacity`. Of equal items the earlier stays. */
  offer(item: T): void {
    if (this.#heap.length < this.#capacity) {
      this.#heap.push(item);
      this.#siftUp(this.#heap.length - 1);
      return;
    }
    const worst = this.#heap[0];
    if (worst === undefined || this.#compare(item, worst) >= 0) return;
    this.#heap[0] = item;
    this.#siftDown(0);
  }

  /** The items kept, first to last. The heap is left empty. */
  drain(): T[] {
    return this.#heap.splice(0).sort(this.#compare);
  }

  #siftUp(start: number): void {
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#compareAt(at, parent) <= 0) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #siftDown(start: number): void {
    let at = start;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      let last = at;
      if (left < this.#heap.length && this.#compareAt(left, last) > 0) last = left;
      if (right < this.#heap.length && this.#compareAt(right, last) > 0) last = right;
      if (last === at) return;
      this.#swap(at, last);
      at = last;
    }
  }

  #compareAt(a: number, b: number): number {
    return this.#compare(this.#heap[a] as T, this.#heap[b] as T);
  }

  #swap(a: number, b: number): void {
    const kept = this.#heap[a] as T;
    this.#heap[a] = this.#heap[b] as T;
    this.#heap[b] = kept;
  }
}

/**
 * Merges lists that are each in order into the first `limit` items of them all. `accept` is asked
 * for each item in merged order, and leaves out the items for which it says no (duplicates, say).
 * Of equal items the one from the earlier list comes first. O(items taken x log lists).
 */
export function mergeSorted<T>(
  lists: readonly (readonly T[])[],
  limit: number,
  compare: Compare<T>,
  accept: (item: T) => boolean = () => true,
): T[] {
  const heads = new HeadHeap(lists, compare);
  const merged: T[] = [];
  while (merged.length < limit) {
    const next = heads.shift();
    if (next === undefined) break;
    if (accept(next.item)) merged.push(next.item);
  }
  return merged;
}

interface Head<T> {
  readonly list: number;
  readonly position: number;
  readonly item: T;
}

/** A min-heap over the first item of each list that has one left. */
class HeadHeap<T> {
  readonly #lists: readonly (readonly T[])[];
  readonly #compare: Compare<T>;
  readonly #heads: Head<T>[] = [];

  constructor(lists: readonly (readonly T[])[], compare: Compare<T>) {
    this.#lists = lists;
    this.#compare = compare;
    lists.forEach((items, list) => {
      if (items.length > 0) this.#heads.push({ list, position: 0, item: items[0] as T });
    });
    for (let at = (this.#heads.length >> 1) - 1; at >= 0; at--) this.#siftDown(at);
  }

  shift(): Head<T> | undefined {
    const first = this.#heads[0];
    if (first === undefined) return undefined;
    const items = this.#lists[first.list] as readonly T[];
    const position = first.position + 1;
    const replacement =
      position < items.length
        ? { list: first.list, position, item: items[position] as T }
        : this.#heads.pop();
    if (replacement !== undefined && this.#heads.length > 0) this.#heads[0] = replacement;
    this.#siftDown(0);
    return first;
  }

  #siftDown(start: number): void {
    const heads = this.#heads;
    let at = start;
    for (;;) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heads.length && this.#before(child, first)) first = child;
      }
      if (first === at) return;
      const kept = heads[at] as Head<T>;
      heads[at] = heads[first] as Head<T>;
      heads[first] = kept;
      at = first;
    }
  }

  #before(a: number, b: number): boolean {
    const headA = this.#heads[a] as Head<T>;
    const headB = this.#heads[b] as Head<T>;
    return (this.#compare(headA.item, headB.item) || headA.list - headB.list) < 0;
  }
}
