/**
 * Writing and reading Flotilla's own binary formats: little-endian fixed numbers, LEB128 varints
 * for safe integers, length-prefixed bytes and UTF-8 strings.
 */
import { isUtf8 } from 'node:buffer';

const ENCODER = new TextEncoder();
const SHORT_STRING = 24;
const REPLACEMENT = '\ufffd';

/** Thrown when bytes do not have the form that their reader expects. */
export class MalformedBytesError extends Error {
  override readonly name = 'MalformedBytesError';
}

/** What a byte stands for that tells a position in a list; malformed, as `what`, outside of it. */
export function memberAt<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index];
  if (value === undefined) throw new MalformedBytesError(`${what} ${index}`);
  return value;
}

/** Grows as needed; `finish` hands out the written part without a copy. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #text: Buffer | undefined;
  #length = 0;

  /** Writes to new memory of that size, or over what is in the memory given, until it is full. */
  constructor(initial: number | Uint8Array = 256) {
    this.#bytes = typeof initial === 'number' ? new Uint8Array(initial) : initial;
    this.#view = viewOf(this.#bytes);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  u64(value: bigint): this {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  f32(value: number): this {
    this.#reserve(4);
    this.#view.setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  f64(value: number): this {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  /** A whole number from 0 to 2^53 - 1. */
  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RangeError(`not a non-negative safe integer: ${value}`);
    }
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
    return this;
  }

  /** Bytes with their length before them. */
  bytes(value: Uint8Array): this {
    return this.varint(value.length).raw(value);
  }

  /** Bytes without a length. */
  raw(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  string(value: string): this {
    if (value.length <= SHORT_STRING) {
      // At most 3 bytes a UTF-16 unit, so the length always fits one byte.
      this.#reserve(1 + 3 * value.length);
      this.#text ??= textOf(this.#bytes);
      const written = this.#text.write(value, this.#length + 1);
      this.#bytes[this.#length] = written;
      this.#length += 1 + written;
      return this;
    }
    return this.bytes(ENCODER.encode(value));
  }

  /** What was written. The writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(sizeBytes: number): void {
    const needed = this.#length + sizeBytes;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = viewOf(grown);
    this.#text = undefined;
  }
}

/** Reads what `ByteWriter` wrote. Every read past the end is a `MalformedBytesError`. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #text: Buffer | undefined;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  bool(): boolean {
    const value = this.u8();
    if (value > 1) throw new MalformedBytesError(`not a boolean: ${value}`);
    return value === 1;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= 8; length++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new MalformedBytesError('varint is longer than 53 bits');
  }

  /** A view, not a copy, of bytes with their length before them. */
  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  /** A view, not a copy, of the next `length` bytes. */
  raw(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Bytes that are not UTF-8 are malformed, never replaced: two ids must not become one. */
  string(): string {
    const length = this.varint();
    const start = this.#take(length);
    if (length === 0) return '';
    // Unlike a TextDecoder it takes no view for each string, and keeps a byte order mark.
    this.#text ??= textOf(this.#bytes);
    const text = this.#text.toString('utf8', start, this.#at);
    if (text.includes(REPLACEMENT) && !isUtf8(this.#text.subarray(start, this.#at))) {
      throw new MalformedBytesError('a string is not UTF-8');
    }
    return text;
  }

  /** Fails unless everything was read. */
  end(): void {
    if (this.remaining > 0) throw new MalformedBytesError(`${this.remaining} bytes too many`);
  }

  #take(sizeBytes: number): number {
    const start = this.#at;
    if (sizeBytes > this.#bytes.length - start) {
      throw new MalformedBytesError(
        `needs ${sizeBytes} bytes at ${start}, has ${this.#bytes.length - start}`,
      );
    }
    this.#at = start + sizeBytes;
    return start;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** For its methods, which read and write strings in place. */
function textOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

export function utf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** Length of a string in UTF-8 bytes, without encoding it. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text, 'utf8');
}

/** Whether UTF-8 can hold the string: it has no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Little-endian float32 bytes of a vector: a view where the platform allows, else a copy. */
export function floatBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** An aligned copy of little-endian float32 bytes. `bytes.length` must be a multiple of 4. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const copy = new Float32Array(bytes.length / 4);
  new Uint8Array(copy.buffer).set(bytes);
  return copy;
}
