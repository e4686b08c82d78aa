/**
 * The parts of public messages that say whose records they are about, written and read by hand. All
 * messages have them in fields of the same numbers.
 */
import type { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

/** A shard key of a record, or one for each id of a request. */
export const SHARD_KEY_FIELD = 12;
const ALL_TENANTS_FIELD = 13;
/** Of a request, and of a record in an answer. */
const TENANT_FIELD = 14;

/** Whose records a request is about. */
export interface TenantFields {
  /** Absent and empty alike: the records of nobody. */
  readonly tenant?: string | undefined;
  /** Of reads only. */
  readonly allTenants?: boolean | undefined;
}

export function writeTenant(writer: ProtobufWriter, fields: TenantFields): ProtobufWriter {
  return writer
    .bool(ALL_TENANTS_FIELD, fields.allTenants ?? false)
    .string(TENANT_FIELD, fields.tenant ?? '');
}

/** While a message is read. */
export type ReadTenant = { -readonly [Key in keyof TenantFields]: TenantFields[Key] };

/** Reads one of the fields into `scope`; false, with nothing read, where it is another one. */
export function readTenant(reader: ProtobufReader, scope: ReadTenant): boolean {
  if (reader.field === TENANT_FIELD) scope.tenant = reader.string();
  else if (reader.field === ALL_TENANTS_FIELD) scope.allTenants = reader.bool();
  else return false;
  return true;
}

/** What names a record beside its id, in answers; while it is read. */
export interface RecordOwner {
  tenant?: string | undefined;
  shardKey?: string | undefined;
}

export function writeOwner(writer: ProtobufWriter, owner: Readonly<RecordOwner>): void {
  const { shardKey = '', tenant = '' } = owner;
  writer.string(SHARD_KEY_FIELD, shardKey).string(TENANT_FIELD, tenant);
}

/** As `readTenant`. */
export function readOwner(reader: ProtobufReader, owner: RecordOwner): boolean {
  if (reader.field === TENANT_FIELD) owner.tenant = reader.string();
  else if (reader.field === SHARD_KEY_FIELD) owner.shardKey = reader.string();
  else return false;
  return true;
}
