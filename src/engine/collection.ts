import type { CollectionConfig } from '../shared/types.js';
import type { CollectionIndex } from './collection-index.js';

/** A collection of the shard that is not dropped. */
export interface Collection {
  readonly collectionId: number;
  readonly config: CollectionConfig;
  readonly index: CollectionIndex;
}
