/**
 * The parts of public messages that say which records a search, a count or a scroll is about,
 * written and read by hand: whose, and of which entity groups.
 */
import { limitExceeded } from '../errors.js';
import { LIMITS } from '../limits.js';
import type { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';
import {
  type ReadTenant,
  readTenant,
  SHARD_KEY_FIELD,
  type TenantFields,
  writeTenant,
} from './tenant-fields.js';

export interface ReadScopeFields extends TenantFields {
  /**
   * Only records of these shard keys; absent and empty alike: all. A node of a version without the
   * field skips it, and reads all.
   */
  readonly shardKeys?: readonly string[] | undefined;
}

export function writeReadScope(writer: ProtobufWriter, fields: ReadScopeFields): ProtobufWriter {
  for (const key of fields.shardKeys ?? []) writer.optionalString(SHARD_KEY_FIELD, key);
  return writeTenant(writer, fields);
}

/** While a message is read. */
export interface ReadScopeRead extends ReadTenant {
  shardKeys?: string[];
}

/** Reads one of the fields into `scope`; false, with nothing read, where it is another one. */
export function readReadScope(reader: ProtobufReader, scope: ReadScopeRead): boolean {
  if (reader.field !== SHARD_KEY_FIELD) return readTenant(reader, scope);
  scope.shardKeys ??= [];
  if (scope.shardKeys.length >= LIMITS.scopeShardKeysMax.value) {
    throw limitExceeded('scopeShardKeysMax', 'shardKeys');
  }
  scope.shardKeys.push(reader.string());
  return true;
}
