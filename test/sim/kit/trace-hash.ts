/**
 * A running hash over what happened, 64 bits in two halves (FNV-1a with different bases). Two runs
 * with the same digest did the same: nothing but the seed counted.
 */
export class TraceHash {
  #low = 0x811c9dc5 | 0;
  #high = 0x2b5e1f3d | 0;

  /** Any finite number; fractions count to a thousandth. */
  addNumber(value: number): void {
    const scaled = Math.round(value * 1000);
    this.#mix(scaled | 0);
    this.#mix(Math.floor(scaled / 2 ** 32) | 0);
  }

  addText(text: string): void {
    for (let at = 0; at < text.length; at += 1) this.#mix(text.charCodeAt(at));
    this.#mix(0x100);
  }

  addBytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#mix(byte);
    this.#mix(0x101);
  }

  /** 16 hexadecimal digits. */
  digest(): string {
    const digits = [this.#high, this.#low].map((half) => (half >>> 0).toString(16));
    return digits.map((text) => text.padStart(8, '0')).join('');
  }

  #mix(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x01000193);
    this.#high = Math.imul(this.#high ^ (value + 0x9e37), 0x85ebca6b);
    this.#high ^= this.#high >>> 13;
  }
}
