import { MalformedBytesError } from '../shared/bytes.js';
import { LIMITS } from '../shared/limits.js';

/** A payload that arrives in pieces. A payload of one piece is handed on without a copy. */
export class Assembly {
  readonly #sizeBytes: number;
  readonly #pieces: Uint8Array[] = [];
  #receivedBytes = 0;

  /** `sizeBytes` is what the opening record says. Throws `MalformedBytesError` above the limit. */
  constructor(sizeBytes: number) {
    if (sizeBytes > LIMITS.requestBytesMax.value) {
      throw new MalformedBytesError(`a payload of ${sizeBytes} bytes is announced`);
    }
    this.#sizeBytes = sizeBytes;
  }

  /** The whole payload once its last piece is here. Throws when there is more than announced. */
  add(piece: Uint8Array): Uint8Array | undefined {
    this.#receivedBytes += piece.length;
    if (this.#receivedBytes > this.#sizeBytes) {
      throw new MalformedBytesError(`more than the ${this.#sizeBytes} bytes announced`);
    }
    this.#pieces.push(piece);
    if (this.#receivedBytes < this.#sizeBytes) return undefined;
    return this.#pieces.length === 1 ? piece : this.#joined();
  }

  #joined(): Uint8Array {
    const whole = new Uint8Array(this.#sizeBytes);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}
