/** The topology as the data path sees it: the newest document that this node has heard of. */
import { FlotillaError } from '../shared/errors.js';
import type { CollectionEntry, TopologyDocument } from './document.js';

export type TopologyListener = (document: TopologyDocument) => void;

export interface TopologyView {
  /** The newest document; undefined until the node has joined a cluster. Never changed in place. */
  current(): TopologyDocument | undefined;
  /**
   * Calls `listener` for each newer document, in the order of their epochs. Returns what stops
   * it; stopping twice is harmless.
   */
  onChange(listener: TopologyListener): () => void;
  /**
   * The collection of this name in the current document, which is active. Throws NODE_NOT_READY
   * without a document, COLLECTION_NOT_FOUND, and COLLECTION_NOT_READY while it is being created
   * or dropped. Costs one map lookup.
   */
  collection(name: string): CollectionEntry;
}

/** Holds the view's document; whoever applies or learns a newer one publishes it here. */
export class TopologyHolder implements TopologyView {
  #document: TopologyDocument | undefined;
  #collections: ReadonlyMap<string, CollectionEntry> = new Map();
  readonly #listeners = new Set<TopologyListener>();

  current(): TopologyDocument | undefined {
    return this.#document;
  }

  onChange(listener: TopologyListener): () => void {
    // A wrapper of its own, so that one function registered twice is two registrations.
    const registered: TopologyListener = (document) => listener(document);
    this.#listeners.add(registered);
    return () => this.#listeners.delete(registered);
  }

  collection(name: string): CollectionEntry {
    if (this.#document === undefined) {
      throw new FlotillaError('NODE_NOT_READY', 'This node has no topology yet');
    }
    const collection = this.#collections.get(name);
    if (collection === undefined) {
      throw new FlotillaError('COLLECTION_NOT_FOUND', `There is no collection ${name}`, {
        field: 'collection',
      });
    }
    if (collection.state !== 'active') {
      throw new FlotillaError('COLLECTION_NOT_READY', `Collection ${name} is ${collection.state}`);
    }
    return collection;
  }

  /**
   * Takes a document over if it is newer than the one held, and tells the listeners. Documents may
   * arrive late or twice: those are dropped, and false is returned.
   */
  publish(document: TopologyDocument): boolean {
    if (this.#document !== undefined && document.epoch <= this.#document.epoch) return false;
    this.#document = document;
    this.#collections = new Map(document.collections.map((one) => [one.config.name, one]));
    for (const listener of [...this.#listeners]) listener(document);
    return true;
  }
}
