/**
 * 10,000 real 784-d vectors with exact neighbours, from a folder outside the repository
 * (`../shared/data/mnist10k`, or FLOTILLA_MNIST_DATA). Absent there: a seeded, clustered set of the
 * same size, whose neighbours are computed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { clusteredVectors, exactNeighbours } from './vectors.js';

export interface NeighbourData {
  readonly source: string;
  readonly base: readonly Float32Array[];
  readonly queries: readonly Float32Array[];
  /** Row numbers of `base`, nearest first by squared distance, at least 10 per query. */
  readonly neighbours: readonly (readonly number[])[];
}

export const DIMENSION = 784;

export function loadNeighbourData(): NeighbourData {
  return loadRealData() ?? syntheticData();
}

/** Undefined where the folder is absent. */
export function loadRealData(): NeighbourData | undefined {
  const folder = process.env.FLOTILLA_MNIST_DATA ?? resolve('../shared/data/mnist10k');
  if (!existsSync(join(folder, 'base.bvecs'))) return undefined;
  return {
    source: 'mnist10k',
    base: readBytesVectors(join(folder, 'base.bvecs')),
    queries: readBytesVectors(join(folder, 'query.bvecs')),
    neighbours: readIntegerVectors(join(folder, 'groundtruth.ivecs')),
  };
}

function syntheticData(): NeighbourData {
  const all = clusteredVectors({ count: 10_200, dimension: DIMENSION, seed: 7 });
  const base = all.slice(0, 10_000);
  const queries = all.slice(10_000);
  return {
    source: 'clustered, seed 7',
    base,
    queries,
    neighbours: queries.map((query) => exactNeighbours(base, query, 10)),
  };
}

function readBytesVectors(path: string): Float32Array[] {
  const bytes = readFileSync(path);
  const vectors: Float32Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const dimension = bytes.readInt32LE(at);
    vectors.push(Float32Array.from(bytes.subarray(at + 4, at + 4 + dimension)));
    at += 4 + dimension;
  }
  return vectors;
}

function readIntegerVectors(path: string): number[][] {
  const bytes = readFileSync(path);
  const vectors: number[][] = [];
  for (let at = 0; at < bytes.length; ) {
    const count = bytes.readInt32LE(at);
    vectors.push(Array.from({ length: count }, (_, i) => bytes.readInt32LE(at + 4 + 4 * i)));
    at += 4 + 4 * count;
  }
  return vectors;
}
