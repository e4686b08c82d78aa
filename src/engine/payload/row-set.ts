/**
 * A set of rows: a sorted list while it is small for the rows that it spans, a bitmap otherwise.
 * It takes about 8 bytes a row in it, or a bit a row up to its highest, whichever is less; so a
 * field with a million different values costs what its records cost, not a bitmap for each value.
 */
import type { Row } from '../rows.js';

/** A shorter list always stays one: nothing is won below the size of an object. */
const LIST_MIN = 32;

/** Bits that a listed row takes. */
const LISTED_ROW_BITS = 64;

/** A bitmap becomes a list well below the size at which a list becomes a bitmap, not at it. */
const HYSTERESIS = 4;

const WORD_BITS = 32;
const NO_WORDS = new Uint32Array(0);

/**
 * Rows are whole numbers below 2^31. In a bitmap `has`, `add` and `delete` are one access each, and
 * set algebra costs one operation for 32 rows; in a list of n rows `has` costs log n comparisons,
 * a change moves the rows above the changed one, and algebra costs n lookups in the other set.
 */
export class RowSet {
  #size = 0;
  /** Ascending; `undefined` while the set is a bitmap. */
  #list: Row[] | undefined = [];
  /** Longer than needed by up to the factor of growth. */
  #words = NO_WORDS;

  /** The rows of all the sets: an access for each that is listed, and one for 32 of a bitmap. */
  static union(sets: readonly RowSet[]): RowSet {
    const union = new RowSet();
    union.#list = undefined;
    for (const set of sets) if (set.#list === undefined) union.#uniteWords(set.#words);
    union.#recount();
    return union.#addParts(sets.map((set) => set.#list ?? []));
  }

  get size(): number {
    return this.#size;
  }

  /** What the set holds on the heap, about. */
  get memoryBytes(): number {
    return this.#list === undefined ? this.#words.byteLength : this.#list.length * 8;
  }

  /** The lowest row; `undefined` in an empty set. Looks at the words before it. */
  get first(): Row | undefined {
    if (this.#list !== undefined) return this.#list[0];
    const at = this.#words.findIndex((word) => word !== 0);
    if (at === -1) return undefined;
    const word = this.#words[at] as number;
    return WORD_BITS * at + (WORD_BITS - 1 - Math.clz32(word & -word));
  }

  has(row: Row): boolean {
    const list = this.#list;
    if (list !== undefined) return list[lowerBound(list, row)] === row;
    return (((this.#words[row >>> 5] ?? 0) >>> (row & 31)) & 1) === 1;
  }

  /** Returns whether the row is new. */
  add(row: Row): boolean {
    const list = this.#list;
    if (list === undefined) return this.#addBit(row);
    const at = list.length > 0 && row > (list.at(-1) as Row) ? list.length : lowerBound(list, row);
    if (list[at] === row) return false;
    if (at === list.length) list.push(row);
    else list.splice(at, 0, row);
    this.#size++;
    this.#settle();
    return true;
  }

  /** Adds rows in any order, which may repeat. Added one by one each moves those above it. */
  addAll(rows: ArrayLike<Row>): this {
    return this.#addParts([rows]);
  }

  /** Returns whether the row was there. */
  delete(row: Row): boolean {
    const list = this.#list;
    if (!this.has(row)) return false;
    this.#size--;
    if (list !== undefined) list.splice(lowerBound(list, row), 1);
    else this.#words[row >>> 5] = (this.#words[row >>> 5] as number) & ~(1 << (row & 31));
    this.#settle();
    return true;
  }

  clone(): RowSet {
    const copy = new RowSet();
    copy.#size = this.#size;
    copy.#list = this.#list?.slice();
    if (this.#list === undefined) copy.#words = this.#words.slice();
    return copy;
  }

  /** Keeps the rows that `other` has too. Returns itself, as all set algebra does. */
  intersect(other: RowSet): this {
    if (this.#list !== undefined) return this.#takeList(this.#list.filter((row) => other.has(row)));
    if (other.#list !== undefined) {
      return this.#takeList(other.#list.filter((row) => this.has(row)));
    }
    const theirs = other.#words;
    this.#words = this.#words.slice(0, theirs.length);
    const own = this.#words;
    for (let at = 0; at < own.length; at++) own[at] = (own[at] as number) & (theirs[at] as number);
    return this.#recount();
  }

  /** Drops the rows that `other` has. */
  subtract(other: RowSet): this {
    if (this.#list !== undefined) {
      return this.#takeList(this.#list.filter((row) => !other.has(row)));
    }
    if (other.#list !== undefined) {
      for (const row of other.#list) this.delete(row);
      return this;
    }
    const [own, theirs] = [this.#words, other.#words];
    const shared = Math.min(own.length, theirs.length);
    for (let at = 0; at < shared; at++) own[at] = (own[at] as number) & ~(theirs[at] as number);
    return this.#recount();
  }

  /** Keeps the rows for which `isKept` holds: one call a row. */
  retain(isKept: (row: Row) => boolean): this {
    return this.#takeList(Array.from(this.toRows().filter(isKept)));
  }

  /** The rows, ascending, in an array of their own. Empty words cost one look each. */
  toRows(): Uint32Array {
    if (this.#list !== undefined) return Uint32Array.from(this.#list);
    const rows = new Uint32Array(this.#size);
    const words = this.#words;
    let written = 0;
    for (let at = 0; at < words.length; at++) {
      for (let word = words[at] as number; word !== 0; word &= word - 1) {
        rows[written++] = (at << 5) + 31 - Math.clz32(word & -word);
      }
    }
    return rows;
  }

  /** The rows as they are when iteration begins, ascending. */
  [Symbol.iterator](): IterableIterator<Row> {
    return this.toRows().values();
  }

  #addBit(row: Row): boolean {
    const at = row >>> 5;
    this.#reserve(at + 1);
    const word = this.#words[at] as number;
    const changed = word | (1 << (row & 31));
    this.#words[at] = changed;
    // The one is signed and the other is not.
    if (changed >>> 0 === word) return false;
    this.#size++;
    return true;
  }

  #reserve(words: number): void {
    if (words <= this.#words.length) return;
    const grown = new Uint32Array(Math.max(words, this.#words.length + (this.#words.length >> 1)));
    grown.set(this.#words);
    this.#words = grown;
  }

  #addParts(parts: readonly ArrayLike<Row>[]): this {
    if (this.#list !== undefined) {
      const all = [this.#list, ...parts];
      const count = all.reduce((sum, { length }) => sum + length, 0);
      const limit = all.reduce((highest, part) => Math.max(highest, limitOf(part)), 1);
      if (count <= LIST_MIN || count * LISTED_ROW_BITS <= limit) {
        return this.#takeList([...new Set(joinedRows(all).sort())]);
      }
      this.#becomeBitmap(limit);
    }
    for (const part of parts) {
      for (let at = 0; at < part.length; at++) this.#addBit(part[at] as Row);
    }
    // Fewer than they seemed, where many were there already.
    this.#settle();
    return this;
  }

  /** The size is to be counted afterwards. */
  #uniteWords(theirs: Uint32Array): void {
    this.#reserve(theirs.length);
    const own = this.#words;
    for (let at = 0; at < theirs.length; at++) {
      own[at] = (own[at] as number) | (theirs[at] as number);
    }
  }

  #takeList(rows: Row[]): this {
    this.#list = rows;
    this.#words = NO_WORDS;
    this.#size = rows.length;
    this.#settle();
    return this;
  }

  #recount(): this {
    let size = 0;
    for (const word of this.#words) size += bitsOf(word);
    this.#size = size;
    this.#settle();
    return this;
  }

  /** Changes the form where the other one is smaller. */
  #settle(): void {
    const list = this.#list;
    if (list === undefined) {
      const bits = this.#words.length * WORD_BITS;
      if (this.#size > LIST_MIN / HYSTERESIS) {
        if (this.#size * LISTED_ROW_BITS * HYSTERESIS >= bits) return;
      }
      this.#list = Array.from(this.toRows());
      this.#words = NO_WORDS;
      return;
    }
    if (list.length <= LIST_MIN) return;
    if (list.length * LISTED_ROW_BITS <= (list.at(-1) as Row)) return;
    this.#becomeBitmap((list.at(-1) as Row) + 1);
  }

  /** Of a list, with room for the rows below `limit`. */
  #becomeBitmap(limit: number): void {
    const list = this.#list ?? [];
    this.#list = undefined;
    this.#size = 0;
    this.#reserve(((limit - 1) >>> 5) + 1);
    for (const row of list) this.#addBit(row);
  }
}

/** One above the highest of the rows; 0 for none. */
function limitOf(rows: ArrayLike<Row>): number {
  let limit = 0;
  for (let at = 0; at < rows.length; at++) limit = Math.max(limit, (rows[at] as Row) + 1);
  return limit;
}

/** All the rows of the parts, one part after the other. */
export function joinedRows(parts: readonly ArrayLike<Row>[]): Uint32Array {
  const rows = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    rows.set(part, at);
    at += part.length;
  }
  return rows;
}

/** Where in the ascending rows `row` is, or belongs. */
function lowerBound(rows: readonly Row[], row: Row): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle] as Row) < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Set bits of a word: sums of 2, 4 and 8 bits side by side, then of the four bytes. */
function bitsOf(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
