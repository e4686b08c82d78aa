/**
 * The file that hnswlib writes, checked so far that reading and searching it cannot leave the
 * memory of the graph: hnswlib itself believes every number in it.
 *
 *     head     96 bytes: sizes, entry point, parameters; u64, i32, u32 and f64, all LE
 *     points   links of layer 0: count u16, removed u8, 0 u8, 2 m ids u32 | vector | label u64
 *     links    for each point: size in bytes u32, then for each layer above 0: count u32, m ids u32
 *
 * Ids are positions in the file. Labels ascend, as `VectorIndex` has it.
 */
import { MalformedBytesError } from '../../shared/bytes.js';
import type { IndexContents, SavedFileReader } from './saved-file.js';
import { LABEL_MAX, type VectorIndexOptions } from './vector-index.js';

const HEAD_BYTES = 96;
const LABEL_BYTES = 8;
/** A point reaches layer n with a probability of m^-n. */
const LAYERS_MAX = 64;

export interface HnswContents extends IndexContents {
  /** Points for which hnswlib takes memory when it reads the file. */
  readonly capacity: number;
}

/** The numbers of the head that are not given by the index's options. */
interface Head {
  readonly points: number;
  readonly capacity: number;
  readonly topLayer: number;
  readonly entryPoint: number;
}

/**
 * Reads the whole file. `MalformedBytesError` unless it is a graph with these options whose parts
 * fit together. Holds two bytes a point.
 */
export async function checkHnswFile(
  reader: SavedFileReader,
  options: VectorIndexOptions,
): Promise<HnswContents> {
  const head = await readHead(reader, options);
  const layers = new LayerCheck(head);
  const contents = await checkPoints(reader, options, head);
  await checkLayers(reader, options, layers);
  return { ...contents, points: head.points, capacity: head.capacity };
}

async function readHead(reader: SavedFileReader, options: VectorIndexOptions): Promise<Head> {
  await reader.require(HEAD_BYTES);
  const { view } = reader;
  const at = reader.take(HEAD_BYTES);
  const { m, efConstruction } = options;
  const { linkBytes, vectorBytes, pointBytes } = sizesOf(options);
  const capacity = sizeAt(view, at + 8);
  const points = sizeAt(view, at + 16);
  const topLayer = view.getInt32(at + 48, true);
  const entryPoint = view.getUint32(at + 52, true);
  expectSame('offset of layer 0', sizeAt(view, at), 0);
  expectSame('size of a point', sizeAt(view, at + 24), pointBytes);
  expectSame('place of the label', sizeAt(view, at + 32), linkBytes + vectorBytes);
  expectSame('place of the vector', sizeAt(view, at + 40), linkBytes);
  expectSame('links of a layer', sizeAt(view, at + 56), m);
  expectSame('links of layer 0', sizeAt(view, at + 64), 2 * m);
  expectSame('m', sizeAt(view, at + 72), m);
  expectSame('efConstruction', sizeAt(view, at + 88), Math.max(efConstruction, m));
  const layerScale = view.getFloat64(at + 80, true) * Math.log(m);
  if (!(Math.abs(layerScale - 1) < 1e-9)) fail('the layers are of another m');
  if (points * pointBytes > reader.remainingBytes) fail(`there is no room for ${points} points`);
  if (capacity < points || capacity > capacityMax(points)) fail(`the capacity is ${capacity}`);
  const isLayer = points === 0 ? topLayer === -1 : topLayer >= 0 && topLayer <= LAYERS_MAX;
  if (!isLayer) fail(`the top layer is ${topLayer}`);
  if (points > 0 && entryPoint >= points) fail(`the entry point is ${entryPoint}`);
  return { points, capacity, topLayer, entryPoint };
}

async function checkPoints(
  reader: SavedFileReader,
  options: VectorIndexOptions,
  { points }: Head,
): Promise<Omit<IndexContents, 'points'>> {
  const { linkBytes, vectorBytes, pointBytes } = sizesOf(options);
  let lastLabel = -1;
  let removedPoints = 0;
  for (let id = 0; id < points; id++) {
    if (reader.availableBytes < pointBytes) await reader.require(pointBytes);
    const { view } = reader;
    const at = reader.take(pointBytes);
    const mark = view.getUint16(at + 2, true);
    if (mark > 1) fail(`point ${id} has the mark ${mark}`);
    removedPoints += mark;
    const count = view.getUint16(at, true);
    if (count > 2 * options.m) fail(`point ${id} has ${count} links`);
    for (let link = 1; link <= count; link++) {
      const target = view.getUint32(at + 4 * link, true);
      if (target >= points) fail(`point ${id} is linked to ${target}`);
    }
    const label = sizeAt(view, at + linkBytes + vectorBytes);
    if (label <= lastLabel || label > LABEL_MAX) fail(`label ${label} comes after ${lastLabel}`);
    lastLabel = label;
  }
  return { lastLabel, removedPoints };
}

/** The links in the layers above 0. */
async function checkLayers(
  reader: SavedFileReader,
  { m }: VectorIndexOptions,
  layers: LayerCheck,
): Promise<void> {
  const layerBytes = 4 + 4 * m;
  for (let id = 0; id < layers.points; id++) {
    // Most points have none: waiting for each would cost more than all else.
    if (reader.availableBytes < 4) await reader.require(4);
    const sizeBytes = reader.view.getUint32(reader.take(4), true);
    if (sizeBytes === 0) continue;
    const height = sizeBytes / layerBytes;
    if (!Number.isInteger(height)) fail(`point ${id} has links of ${sizeBytes} bytes`);
    layers.note(id, height);
    if (reader.availableBytes < sizeBytes) await reader.require(sizeBytes);
    checkLinks(reader, m, height, layers);
  }
  layers.finish();
}

/** The links of one point, which are available. */
function checkLinks(reader: SavedFileReader, m: number, height: number, layers: LayerCheck): void {
  const { view } = reader;
  for (let layer = 1; layer <= height; layer++) {
    const at = reader.take(4 + 4 * m);
    const count = view.getUint32(at, true);
    if (count > m) fail(`a point has ${count} links in layer ${layer}`);
    for (let link = 1; link <= count; link++) {
      layers.noteLink(view.getUint32(at + 4 * link, true), layer);
    }
  }
}

/** Holds that every link leads to a point that reaches its layer. */
class LayerCheck {
  readonly #head: Head;
  /** Highest layer of each point. */
  readonly #heights: Uint8Array;
  /** Highest layer in which each point is linked to. */
  readonly #linked: Uint8Array;

  constructor(head: Head) {
    this.#head = head;
    this.#heights = new Uint8Array(head.points);
    this.#linked = new Uint8Array(head.points);
  }

  get points(): number {
    return this.#head.points;
  }

  /** Of a point with links above layer 0. */
  note(id: number, height: number): void {
    if (height > this.#head.topLayer) fail(`point ${id} reaches layer ${height}`);
    this.#heights[id] = height;
  }

  noteLink(target: number, layer: number): void {
    if (target >= this.#linked.length) fail(`a link of layer ${layer} leads to ${target}`);
    if ((this.#linked[target] as number) < layer) this.#linked[target] = layer;
  }

  finish(): void {
    const { points, topLayer, entryPoint } = this.#head;
    for (let id = 0; id < points; id++) {
      const isThere = (this.#linked[id] as number) <= (this.#heights[id] as number);
      if (!isThere) fail(`a link leads to point ${id} in a layer where it is not`);
    }
    if (points > 0 && this.#heights[entryPoint] !== topLayer) {
      fail('the entry point is not in the top layer');
    }
  }
}

function sizesOf({ dimension, m }: VectorIndexOptions): {
  linkBytes: number;
  vectorBytes: number;
  pointBytes: number;
} {
  const linkBytes = 4 + 4 * 2 * m;
  const vectorBytes = 4 * dimension;
  return { linkBytes, vectorBytes, pointBytes: linkBytes + vectorBytes + LABEL_BYTES };
}

/** What an index of this many points has at most: it grows by less than this. */
function capacityMax(points: number): number {
  return 2 * points + 64;
}

/** A u64; what has more than 53 bits is too large for everything that it is compared with. */
function sizeAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function expectSame(what: string, found: number, wanted: number): void {
  if (found !== wanted) fail(`${what} is ${found}, not ${wanted}`);
}

function fail(message: string): never {
  throw new MalformedBytesError(message);
}
