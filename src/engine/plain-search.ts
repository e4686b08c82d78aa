/** Searches that ask for what the index knows of a record: most are answered at once. */
import type { Version } from '../shared/types.js';
import type { Hit, SearchQuery } from './engine.js';
import { type RecordName, recordOfName } from './record-name.js';

/** Whether a query asks for ids and versions only. */
export function isPlain({ includeValues, includeMetadata }: SearchQuery): boolean {
  return !includeValues && !includeMetadata;
}

/** A hit, with what the index knows of its record. */
export interface NamedHit {
  readonly name: RecordName;
  readonly version: Version;
  readonly distance: number;
}

/** A hit of a plain query as it is answered. */
export type PlainHit = Omit<Hit, 'values' | 'metadata'>;

export function plainHit({ name, version, distance }: NamedHit): PlainHit {
  const { tenant, id } = recordOfName(name);
  return { tenant, id, version, distance };
}
