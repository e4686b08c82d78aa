/** Where records are, and what shards call them. */
import { type RecordAddress, routingKeyOf } from '../placement/routing-key.js';
import { FlotillaError } from '../shared/errors.js';
import { isShardKey, partsOfStoredId, storedIdOf } from '../shared/stored-id.js';
import type { CollectionEntry } from '../topology/document.js';
import type { CollectionRoute } from '../topology/routes.js';
import type { RecordTarget } from './write-split.js';

/**
 * The key of a record within its collection, as shards have it. Throws INVALID_REQUEST, naming
 * `shardKey`, where the collection wants one and there is none, or the other way round.
 */
export function targetOf(
  { config }: CollectionEntry,
  route: CollectionRoute,
  ordinal: number,
  address: RecordAddress,
): RecordTarget {
  const { id, tenant, shardKey } = address;
  const slot = route.unitOf(routingKeyOf(config.routing ?? 'id', address));
  if (shardKey === undefined) return { ordinal, slot, tenant, id };
  assertShardKey(shardKey);
  return { ordinal, slot, tenant, id: storedIdOf(shardKey, id) };
}

/** A record as callers know it. */
export function publicRecord<T extends { readonly id: string }>(
  { config }: CollectionEntry,
  record: T,
): T & { readonly shardKey?: string } {
  if (config.routing !== 'shardKey') return record;
  const { shardKey, id } = partsOfStoredId(record.id);
  return { shardKey, ...record, id };
}

/** The same list where callers know its records as shards do. */
export function publicRecords<T extends { readonly id: string }>(
  collection: CollectionEntry,
  records: readonly T[],
): readonly T[] {
  if (collection.config.routing !== 'shardKey') return records;
  return records.map((record) => publicRecord(collection, record));
}

function assertShardKey(shardKey: string): void {
  if (isShardKey(shardKey)) return;
  const message = 'A shard key has at least one character, and none that is zero';
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'shardKey' });
}
