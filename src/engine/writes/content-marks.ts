/**
 * What the shard held at the last few marks of its log, to be compared with what other replicas
 * held at the same ones. In memory only: a replica that was not there at a mark is asked about the
 * next one. A mark costs 100 bytes or so for each slot and collection that holds records.
 */
import type { CollectionContent } from '../engine.js';
import type { HashedCollection } from './stored-sums.js';

const MARKS_MAX = 4;

export class ContentMarks {
  /** By log index, the oldest first. */
  readonly #marks = new Map<number, readonly CollectionContent[]>();

  /** Notes what the collections hold now. */
  note(index: number, collections: Iterable<HashedCollection>): void {
    this.#marks.set(index, contentsOf(collections));
    for (const oldest of this.#marks.keys()) {
      if (this.#marks.size <= MARKS_MAX) return;
      this.#marks.delete(oldest);
    }
  }

  at(index: number): readonly CollectionContent[] | undefined {
    return this.#marks.get(index);
  }
}

/** By collection id, ascending. */
export function contentsOf(collections: Iterable<HashedCollection>): CollectionContent[] {
  return [...collections]
    .map(({ collectionId, contents }) => ({ collectionId, slots: contents.sums.contents() }))
    .sort((a, b) => a.collectionId - b.collectionId);
}
