/** The settings of a collection, in entries of a shard's log and in its store. */
import { type ByteReader, type ByteWriter, memberAt } from '../bytes.js';
import {
  type CollectionConfig,
  FIELD_TYPES,
  type IndexedField,
  METRICS,
  type Metric,
  PLACEMENT_NAMES,
  ROUTINGS,
} from '../types.js';

/**
 * Added to the byte of the metric where a ttl, and then a placement, follow at the end: settings
 * without them have the bytes that they had before there were any, and who does not know of them
 * refuses the metric.
 */
const HAS_TTL = 0x80;
const HAS_PLACEMENT = 0x40;

export function writeCollectionConfig(writer: ByteWriter, config: CollectionConfig): void {
  const { name, dimension, metric, m, efConstruction, indexedFields, ttlMs } = config;
  const isPlaced = config.routing !== undefined || config.placement !== undefined;
  writer.string(name).varint(dimension);
  writer.u8(
    METRICS.indexOf(metric) | (ttlMs === undefined ? 0 : HAS_TTL) | (isPlaced ? HAS_PLACEMENT : 0),
  );
  writer.varint(m).varint(efConstruction).varint(indexedFields.length);
  for (const field of indexedFields) {
    writer.string(field.path).u8(FIELD_TYPES.indexOf(field.type));
  }
  if (ttlMs !== undefined) writer.varint(ttlMs);
  if (isPlaced) writePlacement(writer, config);
}

export function readCollectionConfig(reader: ByteReader): CollectionConfig {
  const name = reader.string();
  const dimension = reader.varint();
  const metricByte = reader.u8();
  const metric: Metric = memberAt(METRICS, metricByte & ~(HAS_TTL | HAS_PLACEMENT), 'metric');
  const m = reader.varint();
  const efConstruction = reader.varint();
  const indexedFields: IndexedField[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const path = reader.string();
    indexedFields.push({ path, type: memberAt(FIELD_TYPES, reader.u8(), 'field type') });
  }
  const config = { name, dimension, metric, m, efConstruction, indexedFields };
  const ttl = (metricByte & HAS_TTL) === 0 ? {} : { ttlMs: reader.varint() };
  const placement = (metricByte & HAS_PLACEMENT) === 0 ? {} : readPlacement(reader);
  return { ...config, ...ttl, ...placement };
}

/** The routing, the placement, and the split points of a placement by range. */
function writePlacement(writer: ByteWriter, config: CollectionConfig): void {
  const { routing = 'id', placement = 'ring', splitPoints = [] } = config;
  writer.u8(ROUTINGS.indexOf(routing)).u8(PLACEMENT_NAMES.indexOf(placement));
  if (placement !== 'range') return;
  writer.varint(splitPoints.length);
  for (const splitPoint of splitPoints) writer.string(splitPoint);
}

function readPlacement(
  reader: ByteReader,
): Pick<CollectionConfig, 'routing' | 'placement' | 'splitPoints'> {
  const routing = memberAt(ROUTINGS, reader.u8(), 'routing');
  const placement = memberAt(PLACEMENT_NAMES, reader.u8(), 'placement');
  const splitPoints: string[] = [];
  if (placement === 'range') {
    for (let left = reader.varint(); left > 0; left--) splitPoints.push(reader.string());
  }
  return {
    ...(routing !== 'id' && { routing }),
    ...(placement !== 'ring' && { placement }),
    ...(splitPoints.length > 0 && { splitPoints }),
  };
}
