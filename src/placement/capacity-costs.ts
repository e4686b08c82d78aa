/**
 * What records, replicas and nodes take of memory and disk: the constants of docs/capacity.md, and
 * the formulas over them. All are linear: any number of records is a multiplication.
 */
import { LIMITS } from '../shared/limits.js';
import { lowWaterBytesOf } from '../shared/low-water.js';

const MEBIBYTE = 1024 ** 2;

/** What a record is like, on average. */
export interface RecordShape {
  readonly dimension: number;
  /** Links of the graph. */
  readonly m: number;
  readonly idBytes: number;
  /** Encoded. */
  readonly metadataBytes: number;
  /** Fields of the metadata that are declared, and indexed. */
  readonly indexedFields: number;
  /** Whether vectors are kept beside the graph: `engine.exactCopy`. */
  readonly exactCopy: boolean;
}

export type MemoryPart =
  | 'graph'
  | 'tombstones'
  | 'exactCopy'
  | 'tables'
  | 'payloadIndex'
  | 'buffers'
  | 'node'
  | 'renewal';

export type DiskPart =
  | 'pointStore'
  | 'checkpoints'
  | 'log'
  | 'reserve'
  | 'compaction'
  | 'checkpointWrite'
  | 'snapshot'
  | 'install'
  | 'logBehindSnapshot'
  | 'keptFree';

/** What something takes, in bytes: for each record, each replica that holds some, and each node. */
export interface PartCost<Part extends MemoryPart | DiskPart = MemoryPart | DiskPart> {
  readonly part: Part;
  /** Whether it is there all the time; else while one replica of the node is made anew or sent. */
  readonly lasts: boolean;
  readonly perRecord: number;
  readonly perReplica: number;
  readonly perNode: number;
}

/** Where each comes from says docs/capacity.md, which a test holds to these values. */
export const COSTS = {
  floatBytes: 4,
  linkBytes: 4,
  /** Of a point in the lowest layer of a graph: number of links, and label. */
  pointHeadBytes: 12,
  /**
   * Of a point in memory: what the library keeps beside points. 112 where all of its capacity is in
   * use, 160 after that was doubled.
   */
  pointTableBytes: 136,
  /** Of a point in a graph's file. */
  pointFileBytes: 4,
  /** Tombstones that a graph has at most, by what lives in it: a fifth of all points. */
  tombstoneShare: 0.25,
  /** Of a vector in the exact copy: where it lies. */
  copySlotBytes: 4,
  /** Of a record beside its id: directory, version, labels, content hash, tenant. */
  tableBytes: 160,
  /** Of a record in the index of a field. */
  indexedFieldBytes: 32,
  /** Of a record in the point store beside id, metadata and vector. */
  storedRecordBytes: 64,
  /** Size of the point store by what it holds, after updates, and what may be added for a while. */
  storeFactor: 1.75,
  compactionFactor: 0.75,
  /** Of a label in the table beside a graph's file, beside the id. */
  savedLabelBytes: 24,
  storeCacheBytes: 32 * MEBIBYTE,
  storeWriteBuffersBytes: 2 * 16 * MEBIBYTE,
  headBytes: 4 * LIMITS.headFloatsMax.value,
  threadBytes: 32 * MEBIBYTE,
  processBytes: 192 * MEBIBYTE,
  logCacheBytes: 64 * MEBIBYTE,
  logDatabaseBytes: (8 + 2 * 32) * MEBIBYTE,
  requestsBytes: LIMITS.inflightBytesMax.value,
  /** On disk, of a group: the size at which a log is cut, and as much that is not compacted yet. */
  logBytes: 2 * 64 * MEBIBYTE,
  /** A log is kept up to 512 MiB while a snapshot is sent. */
  logBehindSnapshotBytes: (512 - 64) * MEBIBYTE,
  reserveBytes: LIMITS.diskReserveBytes.value,
  /** Free space at which writes are taken again, by the low-water mark. */
  keptFreeFactor: 1.25,
  /** Of an insert into a graph: 0.1 ms at 128 dimensions and 0.4 ms at 768. */
  insertMs: 0.04,
  insertFloatMs: 0.3 / 640,
} as const;

/** Memory, part by part. */
export function memoryCosts(shape: RecordShape): PartCost<MemoryPart>[] {
  const graph = pointBytes(shape) + COSTS.pointTableBytes;
  const exactCopy = shape.exactCopy ? COSTS.floatBytes * shape.dimension + COSTS.copySlotBytes : 0;
  const tables = COSTS.tableBytes + shape.idBytes;
  const payloadIndex = COSTS.indexedFieldBytes * shape.indexedFields;
  const { storeCacheBytes, storeWriteBuffersBytes, headBytes, threadBytes } = COSTS;
  const { processBytes, logCacheBytes, logDatabaseBytes, requestsBytes } = COSTS;
  return [
    lasting('graph', { perRecord: graph }),
    lasting('tombstones', { perRecord: COSTS.tombstoneShare * graph }),
    lasting('exactCopy', { perRecord: exactCopy }),
    lasting('tables', { perRecord: tables }),
    lasting('payloadIndex', { perRecord: payloadIndex }),
    lasting('buffers', {
      perReplica: storeCacheBytes + storeWriteBuffersBytes + headBytes + threadBytes,
    }),
    lasting('node', { perNode: processBytes + logCacheBytes + logDatabaseBytes + requestsBytes }),
    passing('renewal', { perRecord: graph + exactCopy + tables + payloadIndex }),
  ];
}

/** Disk, part by part, where a node has `nodeDiskBytes` of it. */
export function diskCosts(shape: RecordShape, nodeDiskBytes: number): PartCost<DiskPart>[] {
  const { dimension, idBytes, metadataBytes } = shape;
  const record = COSTS.storedRecordBytes + idBytes + metadataBytes + COSTS.floatBytes * dimension;
  const points = (1 + COSTS.tombstoneShare) * (pointBytes(shape) + COSTS.pointFileBytes);
  const checkpoints = points + COSTS.savedLabelBytes + idBytes;
  const lowWaterBytes = lowWaterBytesOf(nodeDiskBytes);
  return [
    lasting('pointStore', { perRecord: COSTS.storeFactor * record }),
    lasting('checkpoints', { perRecord: checkpoints }),
    lasting('log', { perReplica: COSTS.logBytes }),
    lasting('reserve', { perNode: COSTS.reserveBytes }),
    passing('compaction', { perRecord: COSTS.compactionFactor * record }),
    passing('checkpointWrite', { perRecord: checkpoints }),
    passing('snapshot', { perRecord: record + checkpoints }),
    passing('install', { perRecord: record + checkpoints }),
    passing('logBehindSnapshot', { perReplica: COSTS.logBehindSnapshotBytes }),
    passing('keptFree', { perNode: COSTS.keptFreeFactor * lowWaterBytes }),
  ];
}

/** About how long one thread takes to make a graph. */
export function graphBuildMs(records: number, dimension: number): number {
  return records * (COSTS.insertMs + COSTS.insertFloatMs * dimension);
}

/** A point with its vector and links. It is in 1 / (m - 1) layers above the lowest on average. */
function pointBytes({ dimension, m }: RecordShape): number {
  const { floatBytes, linkBytes, pointHeadBytes } = COSTS;
  const upperLinksBytes = (linkBytes * (m + 1)) / (m - 1);
  return floatBytes * dimension + linkBytes * 2 * m + upperLinksBytes + pointHeadBytes;
}

type Bytes = Partial<Pick<PartCost, 'perRecord' | 'perReplica' | 'perNode'>>;

function lasting<Part extends MemoryPart | DiskPart>(part: Part, bytes: Bytes): PartCost<Part> {
  return { part, lasts: true, perRecord: 0, perReplica: 0, perNode: 0, ...bytes };
}

function passing<Part extends MemoryPart | DiskPart>(part: Part, bytes: Bytes): PartCost<Part> {
  return { part, lasts: false, perRecord: 0, perReplica: 0, perNode: 0, ...bytes };
}
