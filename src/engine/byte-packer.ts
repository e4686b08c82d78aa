/**
 * Many byte arrays as one buffer, which crosses to another thread without a copy. Posting views
 * instead would copy the whole buffer that each is a view of.
 */

/** Where an array lies in the buffer. */
export interface ByteRange {
  readonly at: number;
  readonly length: number;
}

export class BytePacker {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  add(bytes: Uint8Array): ByteRange {
    const range = { at: this.#length, length: bytes.length };
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return range;
  }

  /** A new buffer of all that was added, each copied once. */
  finish(): ArrayBuffer {
    const packed = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      packed.set(part, at);
      at += part.length;
    }
    return packed.buffer;
  }
}

/** A view of what was packed. */
export function unpack(buffer: ArrayBuffer, { at, length }: ByteRange): Uint8Array {
  return new Uint8Array(buffer, at, length);
}
