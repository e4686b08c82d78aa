/**
 * What the shard held at the last few marks of its log, to be compared with what other replicas
 * held at the same ones. In memory only: a replica that was not there at a mark is asked about the
 * next one. A mark costs 24 bytes for each slot and collection that holds records.
 */
import type { CollectionContent } from '../engine.js';
import { slotContents } from './slot-sums.js';
import type { HashedCollection } from './stored-sums.js';

const MARKS_MAX = 4;

/** What a collection held. */
interface HeldCollection {
  readonly collectionId: number;
  readonly packed: Uint32Array;
}

export class ContentMarks {
  /** By log index, the oldest first. */
  readonly #marks = new Map<number, readonly HeldCollection[]>();

  /** Notes what the collections hold now. */
  note(index: number, collections: Iterable<HashedCollection>): void {
    this.#marks.set(index, heldBy(collections));
    for (const oldest of this.#marks.keys()) {
      if (this.#marks.size <= MARKS_MAX) return;
      this.#marks.delete(oldest);
    }
  }

  at(index: number): readonly CollectionContent[] | undefined {
    const held = this.#marks.get(index);
    return held && told(held);
  }
}

/** By collection id, ascending. */
export function contentsOf(collections: Iterable<HashedCollection>): CollectionContent[] {
  return told(heldBy(collections));
}

function heldBy(collections: Iterable<HashedCollection>): HeldCollection[] {
  return Array.from(collections, ({ collectionId, contents }) => {
    return { collectionId, packed: contents.sums.packed() };
  });
}

function told(held: readonly HeldCollection[]): CollectionContent[] {
  return held
    .map(({ collectionId, packed }) => ({ collectionId, slots: slotContents(packed) }))
    .sort((a, b) => a.collectionId - b.collectionId);
}
