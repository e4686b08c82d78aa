/** The settings of a collection, in entries of a shard's log and in its store. */
import { type ByteReader, type ByteWriter, MalformedBytesError } from '../bytes.js';
import {
  type CollectionConfig,
  FIELD_TYPES,
  type IndexedField,
  METRICS,
  type Metric,
} from '../types.js';

/**
 * Added to the byte of the metric where a ttl follows at the end: settings without one have the
 * bytes that they had before there was any, and who does not know of it refuses the metric.
 */
const HAS_TTL = 0x80;

export function writeCollectionConfig(writer: ByteWriter, config: CollectionConfig): void {
  const { name, dimension, metric, m, efConstruction, indexedFields, ttlMs } = config;
  writer.string(name).varint(dimension);
  writer.u8(METRICS.indexOf(metric) | (ttlMs === undefined ? 0 : HAS_TTL));
  writer.varint(m).varint(efConstruction).varint(indexedFields.length);
  for (const field of indexedFields) {
    writer.string(field.path).u8(FIELD_TYPES.indexOf(field.type));
  }
  if (ttlMs !== undefined) writer.varint(ttlMs);
}

export function readCollectionConfig(reader: ByteReader): CollectionConfig {
  const name = reader.string();
  const dimension = reader.varint();
  const metricByte = reader.u8();
  const metric: Metric = member(METRICS, metricByte & ~HAS_TTL, 'metric');
  const m = reader.varint();
  const efConstruction = reader.varint();
  const indexedFields: IndexedField[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const path = reader.string();
    indexedFields.push({ path, type: member(FIELD_TYPES, reader.u8(), 'field type') });
  }
  const config = { name, dimension, metric, m, efConstruction, indexedFields };
  return (metricByte & HAS_TTL) === 0 ? config : { ...config, ttlMs: reader.varint() };
}

function member<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index];
  if (value === undefined) throw new MalformedBytesError(`${what} ${index}`);
  return value;
}
