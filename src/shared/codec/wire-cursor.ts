/** A walk over protobuf bytes, field by field, for readers that know where each message ends. */
import { MalformedBytesError } from '../bytes.js';

export const WIRE = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const;

/**
 * A position in protobuf bytes. Each read goes on from `at`, up to `end`, the end of the message
 * that is being read; what would go past it, or has not its form, is a `MalformedBytesError`.
 */
export class WireCursor {
  readonly bytes: Buffer;
  at = 0;

  /** Takes a view of the bytes, not a copy. */
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A tag or length. */
  varint(end: number): number {
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= 5; length++) {
      const byte = this.#byte(end);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new MalformedBytesError('a varint is longer than 32 bits');
  }

  /** Reads a varint of up to 64 bits, of which only this matters. */
  isNonZeroVarint(end: number): boolean {
    let bits = 0;
    for (let length = 1; length <= 10; length++) {
      const byte = this.#byte(end);
      bits |= byte & 0x7f;
      if (byte < 0x80) return bits !== 0;
    }
    throw new MalformedBytesError('a varint is longer than 64 bits');
  }

  double(end: number): number {
    return this.bytes.readDoubleLE(this.#take(8, end));
  }

  /** Reads a length and tells where what follows ends. */
  lengthEnd(end: number): number {
    const length = this.varint(end);
    if (length > end - this.at) throw new MalformedBytesError('a length points past the end');
    return this.at + length;
  }

  /** Skips the value of an unknown field, as protobuf demands. */
  skip(tag: number, end: number): void {
    if (tag >>> 3 === 0) throw new MalformedBytesError('a field has the number 0');
    switch (tag & 7) {
      case WIRE.varint:
        this.isNonZeroVarint(end);
        return;
      case WIRE.fixed64:
        this.#take(8, end);
        return;
      case WIRE.length:
        this.at = this.lengthEnd(end);
        return;
      case WIRE.fixed32:
        this.#take(4, end);
        return;
      default:
        throw new MalformedBytesError(`wire type ${tag & 7}`);
    }
  }

  #byte(end: number): number {
    return this.bytes[this.#take(1, end)] as number;
  }

  #take(sizeBytes: number, end: number): number {
    const start = this.at;
    if (sizeBytes > end - start) throw new MalformedBytesError('it ends too early');
    this.at = start + sizeBytes;
    return start;
  }
}
