/**
 * What a collection holds, slot by slot: the number of records and the sum of their hashes modulo
 * 2^128. The order in which records were written does not matter, and a change of one costs one
 * addition (decisions: content hash).
 */
import { assert } from '../../shared/assert.js';
import type { SlotContent } from '../engine.js';
import { HASH_WORDS } from './record-hash.js';

/** Slot, number of records, and their sum. */
const PACKED_WORDS = 2 + HASH_WORDS;

export interface SlotSum {
  records: number;
  /** Four words, the lowest first. */
  readonly sum: Uint32Array;
}

export class SlotSums {
  readonly #slots = new Map<number, SlotSum>();
  readonly #total = new Uint32Array(HASH_WORDS);

  /** Of slots that hold records. */
  entries(): Iterable<readonly [number, SlotSum]> {
    return this.#slots;
  }

  get(slot: number): SlotSum | undefined {
    return this.#slots.get(slot);
  }

  /** Adds a record by the hash at `at` of `hashes`. */
  add(slot: number, hashes: Uint32Array, at: number): void {
    let one = this.#slots.get(slot);
    if (one === undefined) {
      one = { records: 0, sum: new Uint32Array(HASH_WORDS) };
      this.#slots.set(slot, one);
    }
    one.records++;
    addWords(one.sum, hashes, at);
    addWords(this.#total, hashes, at);
  }

  /** Takes a record away that was added with this hash. */
  subtract(slot: number, hashes: Uint32Array, at: number): void {
    const one = this.#slots.get(slot);
    assert(one !== undefined, () => `slot ${slot} has no record to take away`);
    one.records--;
    subtractWords(one.sum, hashes, at);
    subtractWords(this.#total, hashes, at);
    if (one.records === 0) this.#slots.delete(slot);
  }

  /** The hash of all slots together. Costs nothing: it is kept, like those of the slots. */
  total(): string {
    return hashText(this.#total);
  }

  /** By slot, ascending. */
  contents(): SlotContent[] {
    return slotContents(this.packed());
  }

  /** What the slots hold now, for `slotContents`: 24 bytes a slot, and a hundredth of its time. */
  packed(): Uint32Array {
    const packed = new Uint32Array(PACKED_WORDS * this.#slots.size);
    let at = 0;
    for (const [slot, { records, sum }] of this.#slots) {
      packed[at] = slot;
      packed[at + 1] = records;
      for (let word = 0; word < HASH_WORDS; word++) packed[at + 2 + word] = sum[word] as number;
      at += PACKED_WORDS;
    }
    return packed;
  }
}

/** What `SlotSums` had packed, by slot, ascending. */
export function slotContents(packed: Uint32Array): SlotContent[] {
  const contents: SlotContent[] = [];
  for (let at = 0; at < packed.length; at += PACKED_WORDS) {
    const [slot, records] = [packed[at] as number, packed[at + 1] as number];
    const sum = packed.subarray(at + 2, at + PACKED_WORDS);
    contents.push(slotContent(slot, { records, sum }));
  }
  return contents.sort((a, b) => a.slot - b.slot);
}

export function slotContent(slot: number, { records, sum }: SlotSum): SlotContent {
  return { slot, records, hash: hashText(sum) };
}

function hashText(sum: Uint32Array): string {
  let text = '';
  for (let word = HASH_WORDS - 1; word >= 0; word--) {
    text += (sum[word] as number).toString(16).padStart(8, '0');
  }
  return text;
}

function addWords(sum: Uint32Array, hashes: Uint32Array, at: number): void {
  let carry = 0;
  for (let word = 0; word < HASH_WORDS; word++) {
    const total = (sum[word] as number) + (hashes[at + word] as number) + carry;
    sum[word] = total;
    carry = total > 0xffff_ffff ? 1 : 0;
  }
}

function subtractWords(sum: Uint32Array, hashes: Uint32Array, at: number): void {
  let borrow = 0;
  for (let word = 0; word < HASH_WORDS; word++) {
    const total = (sum[word] as number) - (hashes[at + word] as number) - borrow;
    sum[word] = total;
    borrow = total < 0 ? 1 : 0;
  }
}
