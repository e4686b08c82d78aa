/**
 * Collects what is to be posted to the other thread in this turn, a few items a message: waking a
 * thread costs as much as a small search. More than a few would make the threads take turns, each
 * idle until the other has finished a whole batch.
 */
import { BytePacker } from './byte-packer.js';
import type { Numbered, ThreadMessage } from './thread-protocol.js';

export type Post = (message: unknown, transfer: ArrayBuffer[]) => void;

const ITEMS_PER_MESSAGE_MAX = 4;

export class ThreadOutbox<T> {
  readonly #post: Post;
  #items: Numbered<T>[] = [];
  #packer = new BytePacker();

  constructor(post: Post) {
    this.#post = post;
  }

  /** `pack` puts the byte arrays of the item into the message's buffer. */
  add(id: number, pack: (packer: BytePacker) => T): void {
    if (this.#items.length === 0) queueMicrotask(() => this.flush());
    this.#items.push({ id, body: pack(this.#packer) });
    if (this.#items.length >= ITEMS_PER_MESSAGE_MAX) this.flush();
  }

  /** Posts what waits, now. */
  flush(): void {
    if (this.#items.length === 0) return;
    const message: ThreadMessage<T> = { items: this.#items, bytes: this.#packer.finish() };
    this.#items = [];
    this.#packer = new BytePacker();
    this.#post(message, [message.bytes]);
  }
}
