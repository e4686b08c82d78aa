import { invariant } from './invariant.js';

/**
 * The window of MsgApps that were sent and not answered, oldest first, limited by number and by
 * bytes (L7): a ring whose arrays grow only as far as the window was ever used, because a node has
 * many groups. All operations cost O(1), `freeUpTo` O(messages freed).
 */
export class Inflights {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** Index of the last entry of each message. */
  #lastIndexes: number[] = [];
  #sizesBytes: number[] = [];
  #start = 0;
  #count = 0;
  #sizeBytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** One message may pass the limit of bytes: then the window is full, and the next one waits. */
  get isFull(): boolean {
    return this.#count === this.#maxMessages || this.#sizeBytes >= this.#maxBytes;
  }

  add(lastIndex: number, sizeBytes: number): void {
    invariant(!this.isFull, () => `message up to ${lastIndex} does not fit a full window`);
    const slot = this.#slot(this.#count);
    this.#lastIndexes[slot] = lastIndex;
    this.#sizesBytes[slot] = sizeBytes;
    this.#count += 1;
    this.#sizeBytes += sizeBytes;
  }

  /** Frees the messages whose entries all are at or below `index`. */
  freeUpTo(index: number): void {
    while (this.#count > 0 && (this.#lastIndexes[this.#start] ?? 0) <= index) {
      this.#sizeBytes -= this.#sizesBytes[this.#start] ?? 0;
      this.#start = this.#slot(1);
      this.#count -= 1;
    }
    if (this.#count === 0) this.#start = 0;
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#sizeBytes = 0;
  }

  #slot(distance: number): number {
    const slot = this.#start + distance;
    return slot >= this.#maxMessages ? slot - this.#maxMessages : slot;
  }
}
