/**
 * What a collection holds, slot by slot: the number of records and the sum of their hashes modulo
 * 2^128. The order in which records were written does not matter, and a change of one costs one
 * addition (decisions: content hash).
 */
import { assert } from '../../shared/assert.js';
import type { SlotContent } from '../engine.js';
import { HASH_WORDS } from './record-hash.js';

export interface SlotSum {
  records: number;
  /** Four words, the lowest first. */
  readonly sum: Uint32Array;
}

export class SlotSums {
  readonly #slots = new Map<number, SlotSum>();

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
  }

  /** Takes a record away that was added with this hash. */
  subtract(slot: number, hashes: Uint32Array, at: number): void {
    const one = this.#slots.get(slot);
    assert(one !== undefined, () => `slot ${slot} has no record to take away`);
    one.records--;
    subtractWords(one.sum, hashes, at);
    if (one.records === 0) this.#slots.delete(slot);
  }

  /** The hash of all slots together. */
  total(): string {
    const sum = new Uint32Array(HASH_WORDS);
    for (const one of this.#slots.values()) addWords(sum, one.sum, 0);
    return hashText(sum);
  }

  /** By slot, ascending. */
  contents(): SlotContent[] {
    return [...this.#slots]
      .map(([slot, one]) => slotContent(slot, one))
      .sort((a, b) => a.slot - b.slot);
  }
}

export function slotContent(slot: number, { records, sum }: SlotSum): SlotContent {
  return { slot, records, hash: hashText(sum) };
}

function hashText(sum: Uint32Array): string {
  return [...sum]
    .reverse()
    .map((word) => word.toString(16).padStart(8, '0'))
    .join('');
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
