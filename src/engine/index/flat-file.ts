/**
 * The file of the exact index: a head, then every point in the order of the labels.
 *
 *     head     magic u64 LE | dimension u32 | points u32
 *     point    label u32 | 1 where it is removed, else 0, u32 | `dimension` float32, all LE
 *
 * A removed point has zeros for its vector.
 */
import { MalformedBytesError } from '../../shared/bytes.js';
import { crc32c } from '../../shared/crc32c.js';
import type { Disk } from '../../shared/environment.js';
import type { IndexContents, SavedFileReader } from './saved-file.js';

/** `floatflt`, read as a number. */
const MAGIC = 0x746c_6674_616f_6c66n;
const HEAD_BYTES = 16;
const POINT_HEAD_BYTES = 8;
/** Written at a time. */
const BLOCK_POINTS = 256;

/** By label, ascending; `undefined` for a removed point. */
export type FlatPoints = ReadonlyMap<number, Float32Array | undefined>;

/** Writes a new file, and does not sync it; resolves to its size and checksum. */
export async function writeFlatFile(
  disk: Disk,
  path: string,
  points: FlatPoints,
  dimension: number,
): Promise<{ sizeBytes: number; crc32c: number }> {
  await disk.remove(path);
  const file = await disk.openFile(path, 'write');
  let sizeBytes = 0;
  let checksum = 0;
  try {
    for (const block of blocksOf(points, dimension)) {
      await file.write(sizeBytes, block);
      sizeBytes += block.length;
      checksum = crc32c(block, checksum);
    }
  } finally {
    await file.close();
  }
  return { sizeBytes, crc32c: checksum };
}

function* blocksOf(points: FlatPoints, dimension: number): Generator<Uint8Array> {
  const head = new DataView(new ArrayBuffer(HEAD_BYTES));
  head.setBigUint64(0, MAGIC, true);
  head.setUint32(8, dimension, true);
  head.setUint32(12, points.size, true);
  yield new Uint8Array(head.buffer);
  const pointBytes = pointBytesOf(dimension);
  let block = new DataView(new ArrayBuffer(BLOCK_POINTS * pointBytes));
  let count = 0;
  for (const [label, vector] of points) {
    writePoint(block, count * pointBytes, label, vector);
    count += 1;
    if (count < BLOCK_POINTS) continue;
    yield new Uint8Array(block.buffer);
    block = new DataView(new ArrayBuffer(BLOCK_POINTS * pointBytes));
    count = 0;
  }
  if (count > 0) yield new Uint8Array(block.buffer, 0, count * pointBytes);
}

function writePoint(
  block: DataView,
  at: number,
  label: number,
  vector: Float32Array | undefined,
): void {
  block.setUint32(at, label, true);
  block.setUint32(at + 4, vector === undefined ? 1 : 0, true);
  if (vector === undefined) return;
  for (let axis = 0; axis < vector.length; axis++) {
    block.setFloat32(at + POINT_HEAD_BYTES + 4 * axis, vector[axis] as number, true);
  }
}

/** What a file holds. */
export interface FlatContents extends IndexContents {
  readonly vectors: Map<number, Float32Array | undefined>;
}

/** All points of the file. `MalformedBytesError` where it is not one of this dimension. */
export async function readFlatFile(
  reader: SavedFileReader,
  dimension: number,
): Promise<FlatContents> {
  await reader.require(HEAD_BYTES);
  const head = reader.take(HEAD_BYTES);
  if (reader.view.getBigUint64(head, true) !== MAGIC) {
    throw new MalformedBytesError('this is no file of an exact index');
  }
  const floats = reader.view.getUint32(head + 8, true);
  const count = reader.view.getUint32(head + 12, true);
  const pointBytes = pointBytesOf(dimension);
  if (floats !== dimension || reader.remainingBytes !== count * pointBytes) {
    throw new MalformedBytesError(`${count} points of ${floats} floats do not fill the file`);
  }
  const vectors = new Map<number, Float32Array | undefined>();
  let lastLabel = -1;
  let removedPoints = 0;
  while (vectors.size < count) {
    await reader.require(pointBytes);
    const { view } = reader;
    const at = reader.take(pointBytes);
    const label = view.getUint32(at, true);
    if (label <= lastLabel) throw new MalformedBytesError(`label ${label} after ${lastLabel}`);
    lastLabel = label;
    const vector = readVector(view, at, dimension);
    if (vector === undefined) removedPoints += 1;
    vectors.set(label, vector);
  }
  return { vectors, points: count, removedPoints, lastLabel };
}

function readVector(view: DataView, at: number, dimension: number): Float32Array | undefined {
  if (view.getUint32(at + 4, true) !== 0) return undefined;
  const vector = new Float32Array(dimension);
  for (let axis = 0; axis < dimension; axis++) {
    vector[axis] = view.getFloat32(at + POINT_HEAD_BYTES + 4 * axis, true);
  }
  return vector;
}

function pointBytesOf(dimension: number): number {
  return POINT_HEAD_BYTES + 4 * dimension;
}
