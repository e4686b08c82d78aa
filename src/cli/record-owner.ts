/** Whose a record of a file is, and what it lies with. */
import { isObject, type JsonObject, type JsonValue } from '../shared/codec/struct.js';
import { type FileRecord, VectorFileError } from './vector-files.js';

/** What an import was told of its records. */
export interface OwnerOptions {
  /** All of them belong to this tenant. @default whom each one names, else nobody */
  readonly tenant?: string;
  /**
   * Path of the metadata field, with dots, that is the shard key of those that name none.
   * @default none has one
   */
  readonly shardKeyField?: string;
}

export interface RecordOwner {
  /** Empty for nobody. */
  readonly tenant: string;
  readonly shardKey?: string;
}

/** Throws `VectorFileError`, naming the record that is another tenant's or has no such field. */
export function ownerOf(record: FileRecord, options: OwnerOptions): RecordOwner {
  const { tenant = record.tenant ?? '' } = options;
  if (record.tenant !== undefined && record.tenant !== tenant) {
    throw new VectorFileError(
      `${nameOf(record)} belongs to tenant ${JSON.stringify(record.tenant)}, not to ` +
        `${JSON.stringify(tenant)}; leave --tenant out to write each to its own`,
    );
  }
  const shardKey = record.shardKey ?? shardKeyIn(record, options);
  return { tenant, ...(shardKey !== undefined && { shardKey }) };
}

function shardKeyIn(record: FileRecord, { shardKeyField }: OwnerOptions): string | undefined {
  if (shardKeyField === undefined) return undefined;
  const value = valueAt(record.metadata, shardKeyField.split('.'));
  // Numbers as JSON writes them: a customer's number is as good a key as a name.
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new VectorFileError(
    `${nameOf(record)} has no text or number in its metadata field ${shardKeyField}`,
  );
}

function valueAt(metadata: JsonObject | undefined, path: readonly string[]): JsonValue | undefined {
  return path.reduce<JsonValue | undefined>(
    (value, name) => (isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined),
    metadata,
  );
}

function nameOf({ row, id = String(row) }: FileRecord): string {
  return `record ${row} (id ${JSON.stringify(id)})`;
}
