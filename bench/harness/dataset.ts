/** Vectors to store, vectors to search for, and the true neighbours of the latter. */
import { loadNeighbourData, loadRealData, type NeighbourData } from '../../test/support/mnist.js';
import { clusteredVectors } from '../../test/support/vectors.js';
import { ExactScan } from './exact-scan.js';

export interface Dataset {
  /** Where the vectors are from. */
  readonly source: string;
  readonly dimension: number;
  readonly base: readonly Float32Array[];
  readonly queries: readonly Float32Array[];
  /** The true nearest 10 of each query as rows of `base`. */
  readonly neighbours: readonly (readonly number[])[];
}

export const NEIGHBOURS = 10;
const QUERIES_MAX = 200;
const SEED = 11;

/** Points around 50 centres, from a seed. Costs queries x count distances. */
export function clusteredDataset(size: {
  readonly count: number;
  readonly dimension: number;
}): Dataset {
  const { count, dimension } = size;
  const queryCount = Math.min(QUERIES_MAX, Math.ceil(count / 20));
  const all = clusteredVectors({ count: count + queryCount, dimension, seed: SEED });
  const source = `clustered, seed ${SEED}`;
  return withNeighbours({
    source,
    dimension,
    base: all.slice(0, count),
    queries: all.slice(count),
  });
}

/** The first vectors of a dataset. Costs queries x count distances. */
export function firstOf({ base, ...rest }: Dataset, count: number): Dataset {
  return withNeighbours({ ...rest, base: base.slice(0, count) });
}

function withNeighbours(data: Omit<Dataset, 'neighbours'>): Dataset {
  const scan = new ExactScan(data.base, data.dimension);
  return { ...data, neighbours: data.queries.map((query) => scan.nearest(query, NEIGHBOURS)) };
}

/** 10,000 images of digits where they are at hand, else clustered vectors of the same shape. */
export function imageDataset(): Dataset {
  return datasetOf(loadNeighbourData());
}

/** The images; undefined where they are not at hand. */
export function realImageDataset(): Dataset | undefined {
  const data = loadRealData();
  return data && datasetOf(data);
}

function datasetOf({ source, base, queries, neighbours }: NeighbourData): Dataset {
  return {
    source,
    dimension: base[0]?.length ?? 0,
    base,
    queries: queries.slice(0, QUERIES_MAX),
    neighbours: neighbours.slice(0, QUERIES_MAX).map((rows) => rows.slice(0, NEIGHBOURS)),
  };
}

/** Id of a row, and back: recall is counted by rows. */
export function idOfRow(row: number): string {
  return `row-${row}`;
}

export function rowOfId(id: string): number {
  return Number(id.slice('row-'.length));
}

/** The vector whose turn it is: they are used one after the other, again and again. */
export function inTurn<T>(values: readonly T[], sequence: number): T {
  const value = values[sequence % values.length];
  if (value === undefined) throw new RangeError('no vectors');
  return value;
}
