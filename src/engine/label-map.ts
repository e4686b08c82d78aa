/**
 * Which record a label of the graph stands for, and back. Labels count up from 0 and are given out
 * once; about 120 bytes a record with ids of 20 characters.
 */
import { assert, defined } from '../shared/assert.js';
import type { Version } from '../shared/types.js';
import { LABEL_MAX } from './index/vector-index.js';
import type { RecordName } from './record-name.js';

const INITIAL_CAPACITY = 64;

export class LabelMap {
  readonly #labels = new Map<RecordName, number>();
  /** By label; `undefined` once released. */
  readonly #names: (RecordName | undefined)[] = [];
  /** By label. */
  #versions = new BigUint64Array(INITIAL_CAPACITY);

  /** Records that have a label. */
  get size(): number {
    return this.#labels.size;
  }

  has(name: RecordName): boolean {
    return this.#labels.has(name);
  }

  /** A new label for a record that has none. */
  assign(name: RecordName, version: Version): number {
    const label = this.#names.length;
    assert(label <= LABEL_MAX, 'the graph has used up its labels');
    assert(!this.#labels.has(name), 'the record has a label already');
    if (label === this.#versions.length) {
      const grown = new BigUint64Array(2 * label);
      grown.set(this.#versions);
      this.#versions = grown;
    }
    this.#labels.set(name, label);
    this.#names.push(name);
    this.#versions[label] = version;
    return label;
  }

  /** Takes the record's label away and returns it; `undefined` where it has none. */
  release(name: RecordName): number | undefined {
    const label = this.#labels.get(name);
    if (label === undefined) return undefined;
    this.#labels.delete(name);
    this.#names[label] = undefined;
    return label;
  }

  /** The record of a label that is not released. */
  nameOf(label: number): RecordName {
    return defined(this.#names[label], `record of label ${label}`);
  }

  versionOf(label: number): Version {
    return defined(this.#versions[label], `version of label ${label}`);
  }
}
