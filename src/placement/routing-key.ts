/** Which part of a record decides on which shard it is (decisions of identity: M-9, M-18, M-19). */
import { unreachable } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import type { RoutedBy } from '../shared/types.js';

/** The parts of a record's identity within its collection. */
export interface RecordAddress {
  readonly id: string;
  /** The empty string where records belong to nobody. */
  readonly tenant: string;
  /** Part of the identity in collections that are routed by it, and of no others. */
  readonly shardKey?: string;
}

/**
 * The key that a collection's placement is asked for. Throws INVALID_REQUEST, naming `shardKey`,
 * where the collection wants one and there is none, or has none and it is given: two records could
 * otherwise look like one.
 */
export function routingKeyOf(routedBy: RoutedBy, { id, tenant, shardKey }: RecordAddress): string {
  switch (routedBy) {
    case 'id':
      if (shardKey !== undefined) throw noShardKey('by id');
      return id;
    case 'shardKey':
      if (shardKey !== undefined) return shardKey;
      throw new FlotillaError('INVALID_REQUEST', 'This collection needs a shard key', {
        field: 'shardKey',
      });
    case 'tenant':
      if (shardKey !== undefined) throw noShardKey('by tenant');
      return tenant;
    default:
      return unreachable(routedBy, 'routing');
  }
}

function noShardKey(how: string): FlotillaError {
  const message = `This collection is routed ${how} and takes no shard key`;
  return new FlotillaError('INVALID_REQUEST', message, { field: 'shardKey' });
}
