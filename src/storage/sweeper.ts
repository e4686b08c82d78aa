/**
 * Deletes what no log needs any more, in the background: one small unsynced batch at a time, so
 * that writers hardly notice. What is left when the store closes is found again at the next open.
 */
import type { Kv } from '../shared/kv.js';
import type { Logger } from '../shared/logger.js';
import { entryKey, groupRange } from './keys.js';

/** Keys of one batch. */
const BATCH_KEYS = 256;

export class Sweeper {
  readonly #kv: Kv;
  readonly #mayWrite: () => boolean;
  readonly #logger: Logger;
  #isClosed = false;
  /** Tasks run one after the other: what is cleared for a new log is gone before that begins. */
  #tail: Promise<void> = Promise.resolve();

  /** `mayWrite` says before each batch whether the database still takes writes (S6). */
  constructor(kv: Kv, logger: Logger, mayWrite: () => boolean) {
    this.#kv = kv;
    this.#logger = logger;
    this.#mayWrite = mayWrite;
  }

  /** Deletes the entries with `first <= index < end`. Rejects with the error of a write. */
  deleteEntries(groupId: number, first: number, end: number): Promise<void> {
    return this.#then(async () => {
      for (let from = first; from < end && this.#goesOn(); from += BATCH_KEYS) {
        const count = Math.min(BATCH_KEYS, end - from);
        const keys = Array.from({ length: count }, (_, at) => entryKey(groupId, from + at));
        await this.#delete(keys);
      }
    });
  }

  /**
   * Deletes everything of a group. Rejects with the error of a write. What cannot be read stays:
   * a new log of the group writes over it, or is found damaged at the next open.
   */
  deleteGroup(groupId: number): Promise<void> {
    return this.#then(async () => {
      for (let keys = await this.#someKeys(groupId); keys.length > 0; ) {
        await this.#delete(keys);
        keys = await this.#someKeys(groupId);
      }
    });
  }

  /** Stops after the batch under way. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#tail;
  }

  #then(task: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(task);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  #goesOn(): boolean {
    return !this.#isClosed && this.#mayWrite();
  }

  /** Some of the keys of a group; none when all are gone, or the work is over. */
  async #someKeys(groupId: number): Promise<Uint8Array[]> {
    if (!this.#goesOn()) return [];
    try {
      const pages = this.#kv.scan({ ...groupRange(groupId), limit: BATCH_KEYS });
      for await (const page of pages) return page.map(({ key }) => key);
    } catch (error) {
      this.#logger.warn({ error, groupId }, 'what is left of a log cannot be read, and stays');
    }
    return [];
  }

  async #delete(keys: readonly Uint8Array[]): Promise<void> {
    const operations = keys.map((key) => ({ type: 'del' as const, key }));
    await this.#kv.batch(operations, { sync: false });
  }
}
