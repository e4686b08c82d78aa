/**
 * What shards call records of collections that are routed by shard key: the key is part of the
 * identity, and the first part of the stored id, so that the records of an entity group lie, and
 * are scrolled through, side by side.
 */

import type { CollectionConfig } from './types.js';

/** Ends the shard key in a stored id. No key has it, an id may. */
const KEY_END = '\0';

/** Whether the text may be a shard key. */
export function isShardKey(text: string): boolean {
  return text !== '' && !text.includes(KEY_END);
}

export function storedIdOf(shardKey: string, id: string): string {
  return `${shardKey}${KEY_END}${id}`;
}

/** The parts of a stored id, of a collection that is routed by shard key. */
export function partsOfStoredId(storedId: string): {
  readonly shardKey: string;
  readonly id: string;
} {
  const end = storedId.indexOf(KEY_END);
  return { shardKey: storedId.slice(0, end), id: storedId.slice(end + 1) };
}

/** The shard key of a stored record; `undefined` where the collection is routed otherwise. */
export function shardKeyOf(
  { routing }: Pick<CollectionConfig, 'routing'>,
  storedId: string,
): string | undefined {
  return routing === 'shardKey' ? partsOfStoredId(storedId).shardKey : undefined;
}
