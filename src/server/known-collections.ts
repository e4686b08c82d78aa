/** The settings that requests are checked against, and what to do when they are out of date. */
import { isDeepStrictEqual } from 'node:util';
import { checkCollectionName } from '../shared/collection-settings.js';
import { type FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { CollectionConfig } from '../shared/types.js';
import type { CallOptions, RecordsBackend } from './backend.js';

export class KnownCollections {
  readonly #backend: RecordsBackend;

  constructor(backend: RecordsBackend) {
    this.#backend = backend;
  }

  /** Throws or rejects with INVALID_REQUEST, COLLECTION_NOT_FOUND or COLLECTION_NOT_READY. */
  settingsOf(name: string, options: CallOptions): CollectionConfig | Promise<CollectionConfig> {
    checkCollectionName(name, 'collection');
    return this.#backend.collection(name, options);
  }

  /**
   * What `check` makes of the request under the collection's settings. Where the dimension or a
   * filter does not fit, the collection may have been dropped and made anew, and this node not
   * have heard of it: then the newest settings decide.
   */
  async check<T>(
    name: string,
    options: CallOptions,
    check: (config: CollectionConfig) => T,
  ): Promise<T> {
    const config = await this.settingsOf(name, options);
    try {
      return check(config);
    } catch (error) {
      if (!isFlotillaError(error) || !dependsOnSettings(error)) throw error;
      const newest = await this.#backend.newestCollection(name, options);
      if (isDeepStrictEqual(newest, config)) throw error;
      return check(newest);
    }
  }
}

/** Whether another dimension, or other declared fields, could make the request a right one. */
function dependsOnSettings({ reason, field = '' }: FlotillaError): boolean {
  if (reason === 'DIMENSION_MISMATCH') return true;
  return reason === 'INVALID_REQUEST' && /(^|\.)filter\./.test(field);
}
