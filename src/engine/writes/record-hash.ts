/**
 * The 128-bit hash of a record: of its identity within the collection, version, expiry, metadata
 * and values, over the layout below, with the mixing steps of MurmurHash3 x86 128 (Austin Appleby,
 * public domain). Replicas compare what they hold by it: part of the data format. It finds what
 * went wrong, not what somebody made wrong on purpose.
 *
 *     tenant, id, metadata, values: length u32 each | version u64 | expiry f64, 0 for none
 *     | tenant | id | metadata | values | zeros up to a whole block
 */
import type { RecordValue } from '../record-value.js';

/** 32-bit words of a hash. */
export const HASH_WORDS = 4;

const HEADER_BYTES = 32;
const BLOCK_BYTES = 16;
const INITIAL_BYTES = 512;

const [C1, C2, C3, C4] = [0x239b961b, 0xab0e9789, 0x38b34ae5, 0xa1e38b93] as const;

/** Lays records out in a buffer of its own, which it uses again for each. */
export class RecordHasher {
  #bytes = Buffer.alloc(INITIAL_BYTES);
  #words = wordsOf(this.#bytes);

  /** Writes the hash of a record to `hash` from `at` on. */
  hash(
    tenant: string,
    id: string,
    { version, expiresAtMs = 0, metadata, values }: RecordValue,
    hash: Uint32Array,
    at: number,
  ): void {
    this.#reserve(HEADER_BYTES + 3 * (tenant.length + id.length) + metadata.length + values.length);
    const bytes = this.#bytes;
    let end = HEADER_BYTES;
    const tenantBytes = tenant === '' ? 0 : bytes.write(tenant, end);
    end += tenantBytes;
    const idBytes = bytes.write(id, end);
    end += idBytes;
    bytes.set(metadata, end);
    end += metadata.length;
    bytes.set(values, end);
    end += values.length;
    bytes.writeUInt32LE(tenantBytes, 0);
    bytes.writeUInt32LE(idBytes, 4);
    bytes.writeUInt32LE(metadata.length, 8);
    bytes.writeUInt32LE(values.length, 12);
    bytes.writeBigUInt64LE(version, 16);
    bytes.writeDoubleLE(expiresAtMs, 24);
    const blocksEnd = Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES;
    bytes.fill(0, end, blocksEnd);
    mix(this.#words, blocksEnd / Int32Array.BYTES_PER_ELEMENT, end, hash, at);
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes + BLOCK_BYTES <= this.#bytes.length) return;
    this.#bytes = Buffer.alloc(2 * sizeBytes + BLOCK_BYTES);
    this.#words = wordsOf(this.#bytes);
  }
}

function wordsOf({ buffer, byteOffset, length }: Buffer): Int32Array {
  return new Int32Array(buffer, byteOffset, length >>> 2);
}

/** Hashes the first `count` words, a multiple of four, that stand for `sizeBytes` bytes. */
function mix(
  words: Int32Array,
  count: number,
  sizeBytes: number,
  hash: Uint32Array,
  at: number,
): void {
  let [h1, h2, h3, h4] = [0, 0, 0, 0];
  for (let word = 0; word < count; word += HASH_WORDS) {
    h1 ^= scramble(words[word] as number, C1, 15, C2);
    h1 = (Math.imul(rotate(h1, 19) + h2, 5) + 0x561ccd1b) | 0;
    h2 ^= scramble(words[word + 1] as number, C2, 16, C3);
    h2 = (Math.imul(rotate(h2, 17) + h3, 5) + 0x0bcaa747) | 0;
    h3 ^= scramble(words[word + 2] as number, C3, 17, C4);
    h3 = (Math.imul(rotate(h3, 15) + h4, 5) + 0x96cd1c35) | 0;
    h4 ^= scramble(words[word + 3] as number, C4, 18, C1);
    h4 = (Math.imul(rotate(h4, 13) + h1, 5) + 0x32ac3b17) | 0;
  }
  [h1, h2, h3, h4] = together(h1 ^ sizeBytes, h2 ^ sizeBytes, h3 ^ sizeBytes, h4 ^ sizeBytes);
  [h1, h2, h3, h4] = together(avalanche(h1), avalanche(h2), avalanche(h3), avalanche(h4));
  hash[at] = h1;
  hash[at + 1] = h2;
  hash[at + 2] = h3;
  hash[at + 3] = h4;
}

function scramble(word: number, first: number, turn: number, second: number): number {
  return Math.imul(rotate(Math.imul(word, first), turn), second);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function together(
  h1: number,
  h2: number,
  h3: number,
  h4: number,
): [number, number, number, number] {
  const sum = (h1 + h2 + h3 + h4) | 0;
  return [sum, (h2 + sum) | 0, (h3 + sum) | 0, (h4 + sum) | 0];
}

function avalanche(word: number): number {
  let hash = word;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
