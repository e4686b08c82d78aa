/**
 * Writing and reading the Protocol Buffers wire format by hand, for the messages of the public
 * API. Vectors are little-endian float32 bytes on both sides, so that no float is ever boxed.
 *
 * Source: https://protobuf.dev/programming-guides/encoding/. Groups, which proto3 does not have,
 * are refused.
 */
import { isUtf8 } from 'node:buffer';
import { defined } from '../assert.js';
import { MalformedBytesError } from '../bytes.js';

/** How a field's value is laid out; the low three bits of its tag. */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const TWO_POW_32 = 0x1_0000_0000;
const REPLACEMENT = '\ufffd';

/** A field without bytes: an absent vector or metadata. */
export const NO_BYTES: Uint8Array = new Uint8Array(0);

/**
 * Appends fields to a growing buffer. Methods named after a type follow proto3's implicit presence:
 * the type's default is not written. Those named `optional...` write all that is not `undefined`.
 */
export class ProtobufWriter {
  #buffer: Buffer;
  #at = 0;
  /** Of each message that is open: where its length begins, where its fields begin. */
  readonly #opened: number[] = [];

  /** `sizeHintBytes` is a guess of the final size; a good one avoids copies. */
  constructor(sizeHintBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(sizeHintBytes);
  }

  /** A whole number from 0 to 2^53 - 1, as uint32, uint64 or an enum. */
  uint(field: number, value: number): this {
    return value === 0 ? this : this.optionalUint(field, value);
  }

  optionalUint(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#reserve(15);
    this.#tag(field, WIRE.varint);
    this.#varint(value);
    return this;
  }

  bool(field: number, value: boolean): this {
    return value ? this.optionalUint(field, 1) : this;
  }

  optionalBool(field: number, value: boolean | undefined): this {
    return value === undefined ? this : this.optionalUint(field, value ? 1 : 0);
  }

  float(field: number, value: number): this {
    // Minus zero is not the default: it has bits of its own.
    return Object.is(value, 0) ? this : this.optionalFloat(field, value);
  }

  optionalFloat(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#reserve(9);
    this.#tag(field, WIRE.fixed32);
    this.#at = this.#buffer.writeFloatLE(value, this.#at);
    return this;
  }

  string(field: number, value: string): this {
    return value === '' ? this : this.optionalString(field, value);
  }

  optionalString(field: number, value: string | undefined): this {
    if (value === undefined) return this;
    // At most three bytes a UTF-16 unit, so a short one fits a length of one byte.
    const lengthBytes = 3 * value.length < 0x80 ? 1 : varintSizeBytes(Buffer.byteLength(value));
    this.#reserve(5 + lengthBytes + 3 * value.length);
    this.#tag(field, WIRE.bytes);
    const start = this.#at + lengthBytes;
    const written = this.#buffer.write(value, start, 'utf8');
    this.#varint(written);
    this.#at = start + written;
    return this;
  }

  /** Bytes, an encoded message, or the packed floats of a vector. */
  bytes(field: number, value: Uint8Array | undefined): this {
    return value === undefined || value.length === 0 ? this : this.optionalBytes(field, value);
  }

  optionalBytes(field: number, value: Uint8Array | undefined): this {
    if (value === undefined) return this;
    this.#reserve(10 + value.length);
    this.#tag(field, WIRE.bytes);
    this.#varint(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** Packed whole numbers. */
  uints(field: number, values: readonly number[]): this {
    if (values.length === 0) return this;
    this.open(field, values.length);
    for (const value of values) {
      this.#reserve(10);
      this.#varint(value);
    }
    return this.close();
  }

  /**
   * Begins a message inside this one; `close` ends it. A good `sizeHintBytes` saves moving the
   * fields when the length turns out to need more bytes.
   */
  open(field: number, sizeHintBytes = 0): this {
    this.#reserve(10);
    this.#tag(field, WIRE.bytes);
    this.#opened.push(this.#at, this.#at + varintSizeBytes(sizeHintBytes));
    this.#at += varintSizeBytes(sizeHintBytes);
    return this;
  }

  close(): this {
    const bodyAt = defined(this.#opened.pop(), 'the opened message');
    const lengthAt = defined(this.#opened.pop(), 'the opened message');
    const sizeBytes = this.#at - bodyAt;
    const movedTo = lengthAt + varintSizeBytes(sizeBytes);
    if (movedTo !== bodyAt) {
      this.#reserve(5);
      this.#buffer.copyWithin(movedTo, bodyAt, this.#at);
    }
    this.#at = lengthAt;
    this.#varint(sizeBytes);
    this.#at += sizeBytes;
    return this;
  }

  /** What was written, as a view. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#at++] = rest;
  }

  #reserve(sizeBytes: number): void {
    const needed = this.#at + sizeBytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

/** Bytes that a whole number takes as a varint. */
function varintSizeBytes(value: number): number {
  let sizeBytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) sizeBytes++;
  return sizeBytes;
}

/**
 * Walks over the fields of a message:
 *
 *     while (reader.next()) {
 *       switch (reader.field) {
 *         case 1: name = reader.string(); break;
 *         default: reader.skip();
 *       }
 *     }
 *
 * Each field must be read or skipped. Whatever has not the form that it should have, a wire type
 * other than the one asked for included, is a `MalformedBytesError`. Work and memory grow with the
 * length of the bytes only. A field that is not repeated and comes more than once is read as its
 * last occurrence.
 */
export class ProtobufReader {
  readonly #bytes: Buffer;
  #at = 0;
  #limit: number;
  #wire: number = WIRE.varint;
  #low = 0;
  #high = 0;

  /** Number of the field that `next` has come to. */
  field = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limit = bytes.length;
  }

  /** Goes to the next field. False at the end of the message. */
  next(): boolean {
    if (this.#at >= this.#limit) return false;
    this.#varint();
    this.#wire = this.#low & 7;
    this.field = this.#low >>> 3;
    if (this.field === 0 || this.#high !== 0) throw new MalformedBytesError('not a field number');
    return true;
  }

  /** The low 32 bits of a varint, as protobuf defines uint32 and enums. */
  uint32(): number {
    this.#expect(WIRE.varint);
    this.#varint();
    return this.#low;
  }

  /** A uint64; exact up to 2^53 - 1, rounded above. */
  uint64(): number {
    this.#expect(WIRE.varint);
    this.#varint();
    return this.#high * TWO_POW_32 + this.#low;
  }

  bool(): boolean {
    this.#expect(WIRE.varint);
    this.#varint();
    return this.#low !== 0 || this.#high !== 0;
  }

  float(): number {
    this.#expect(WIRE.fixed32);
    return this.#bytes.readFloatLE(this.#take(4));
  }

  /** A string. Bytes that are not UTF-8 are refused, never replaced: ids must stay distinct. */
  string(): string {
    this.#expect(WIRE.bytes);
    const sizeBytes = this.#length();
    const start = this.#take(sizeBytes);
    const text = this.#bytes.toString('utf8', start, this.#at);
    if (text.includes(REPLACEMENT) && !isUtf8(this.#bytes.subarray(start, this.#at))) {
      throw new MalformedBytesError(`field ${this.field} is not UTF-8`);
    }
    return text;
  }

  /** A view, not a copy, of bytes or of an encoded message. */
  bytes(): Uint8Array {
    this.#expect(WIRE.bytes);
    const sizeBytes = this.#length();
    const start = this.#take(sizeBytes);
    return this.#bytes.subarray(start, this.#at);
  }

  /**
   * One occurrence of a `repeated float`, or a whole run of single ones, appended to those `before`
   * it; the first call gets `NO_BYTES`. The result is float32 in a buffer of its own, so always
   * aligned.
   */
  floats(before: Uint8Array): Uint8Array {
    if (this.#wire === WIRE.fixed32) return this.#floatRun(before);
    const chunkBytes = this.#packedFloatsLength();
    const start = this.#take(chunkBytes);
    const total = before.length + chunkBytes;
    if (total === 0) return before;
    const values = grownTo(total, before);
    this.#bytes.copy(values, before.length, start, this.#at);
    return values;
  }

  /**
   * One occurrence of a `repeated uint32`, packed or not, appended to `into`. False where that had
   * more than `countMax` numbers then: the rest is not read, nor may anything after it.
   */
  uint32s(into: number[], countMax = Number.POSITIVE_INFINITY): boolean {
    if (this.#wire === WIRE.varint) return into.push(this.uint32()) <= countMax;
    const outer = this.open();
    while (this.#at < this.#limit) {
      this.#varint();
      if (into.push(this.#low) > countMax) return false;
    }
    this.close(outer);
    return true;
  }

  /** Enters a message inside this one; hand the result to `close` when `next` says false. */
  open(): number {
    this.#expect(WIRE.bytes);
    const sizeBytes = this.#length();
    const start = this.#take(sizeBytes);
    const outer = this.#limit;
    this.#limit = this.#at;
    this.#at = start;
    return outer;
  }

  close(outer: number): void {
    this.#limit = outer;
  }

  /** Leaves the field out. */
  skip(): void {
    switch (this.#wire) {
      case WIRE.varint:
        this.#varint();
        return;
      case WIRE.fixed64:
        this.#take(8);
        return;
      case WIRE.bytes:
        this.#take(this.#length());
        return;
      case WIRE.fixed32:
        this.#take(4);
        return;
      default:
        throw new MalformedBytesError(`field ${this.field} has wire type ${this.#wire}`);
    }
  }

  /** Unpacked floats follow one another, each behind the same tag: they are gathered in one go. */
  #floatRun(before: Uint8Array): Uint8Array {
    const tag = this.field * 8 + WIRE.fixed32;
    const tagBytes = varintSizeBytes(tag);
    const stepBytes = tagBytes + 4;
    const first = this.#take(4);
    let count = 1;
    // Tags of two bytes and more are rare, and read one by one.
    if (tagBytes === 1) {
      while (this.#limit - this.#at >= stepBytes && this.#bytes[this.#at] === tag) {
        this.#at += stepBytes;
        count++;
      }
    }
    const values = grownTo(before.length + 4 * count, before);
    for (let at = 0; at < count; at++) {
      const from = first + at * stepBytes;
      const to = before.length + 4 * at;
      for (let byte = 0; byte < 4; byte++) values[to + byte] = this.#bytes[from + byte] ?? 0;
    }
    return values;
  }

  #packedFloatsLength(): number {
    this.#expect(WIRE.bytes);
    const sizeBytes = this.#length();
    if (sizeBytes % 4 !== 0) {
      throw new MalformedBytesError(`field ${this.field}: ${sizeBytes} bytes are not floats`);
    }
    return sizeBytes;
  }

  #length(): number {
    this.#varint();
    return this.#high * TWO_POW_32 + this.#low;
  }

  #expect(wire: number): void {
    if (this.#wire === wire) return;
    throw new MalformedBytesError(
      `field ${this.field} has wire type ${this.#wire} instead of ${wire}`,
    );
  }

  #take(sizeBytes: number): number {
    const start = this.#at;
    if (sizeBytes > this.#limit - start) {
      throw new MalformedBytesError(
        `field ${this.field} needs ${sizeBytes} bytes at ${start}, has ${this.#limit - start}`,
      );
    }
    this.#at = start + sizeBytes;
    return start;
  }

  /** Reads a varint into `#low` and `#high`. */
  #varint(): void {
    const first = this.#at < this.#limit ? this.#bytes[this.#at] : undefined;
    if (first !== undefined && first < 0x80) {
      this.#at++;
      this.#low = first;
      this.#high = 0;
    } else this.#longVarint();
  }

  #longVarint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#bytes[this.#take(1)] ?? 0;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x7f) >>> 4;
      } else if (shift < 63) high |= (byte & 0x7f) << (shift - 32);
      else high |= (byte & 1) << 31;
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw new MalformedBytesError('a varint has more than 10 bytes');
  }
}

/** A message of two strings, such as an entry of a map. */
export function readTextPair(reader: ProtobufReader): [string, string] {
  const outer = reader.open();
  let name = '';
  let value = '';
  while (reader.next()) {
    if (reader.field === 1) name = reader.string();
    else if (reader.field === 2) value = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return [name, value];
}

/**
 * `before` with room up to `sizeBytes`. Doubles, so that a vector that arrives float by float costs
 * time in proportion to its length.
 */
function grownTo(sizeBytes: number, before: Uint8Array): Uint8Array {
  if (before.length === 0) return new Uint8Array(sizeBytes);
  if (before.buffer.byteLength >= sizeBytes) return new Uint8Array(before.buffer, 0, sizeBytes);
  const grown = new Uint8Array(Math.max(sizeBytes, 2 * before.length));
  grown.set(before);
  return grown.subarray(0, sizeBytes);
}
