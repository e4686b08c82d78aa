import type { CollectionConfig } from '../shared/types.js';
import type { CollectionIndex } from './collection-index.js';
import type { PayloadIndex } from './payload/payload-index.js';
import type { ContentHash } from './writes/content-hash.js';
import type { ExpiryQueue } from './writes/expiry-queue.js';

/** A collection of the shard that is not dropped. */
export interface Collection {
  readonly collectionId: number;
  readonly config: CollectionConfig;
  /** Which keys of it a shard owns, `Ownership` says by it. */
  readonly placementId: number;
  readonly index: CollectionIndex;
  /** The declared fields and the tenants, by the rows of `index`. */
  readonly payload: PayloadIndex;
  /** What the records are, to be compared with other replicas, by the same rows. */
  readonly contents: ContentHash;
  /** When they expire, by the same rows. */
  readonly expiries: ExpiryQueue;
}
