/**
 * What the pieces of a search cost on this machine, so that the planner can compare plans. Only the
 * ratios matter, and no answer depends on them: replicas may plan differently. The constants were
 * measured on one machine, see bench/micro/filter.ts, and are multiplied by how others compare.
 */
import type { Clock } from '../../shared/environment.js';
import type { CostFactors } from '../engine.js';
import { meterTo } from '../index/meter.js';
import type { VectorIndexFactory } from '../index/vector-index.js';

/** Taken where the clock does not move, as in simulation. */
export const DEFAULT_FACTORS: CostFactors = { distance: 1, visit: 1 };

/** One of many distances of vectors that lie anywhere in memory: finding it, and each float. */
const DISTANCE_US = 0.06;
const FLOAT_US = 0.0009;

/** A point that the graph asks about: the call, each float, and what the processor waits for. */
const VISIT_US = 0.4;
const VISIT_FLOAT_US = 0.0001;
const CACHE_MISS_US = 0.9;

/** From here on hardly any point of the graph is in the processor's caches. */
const CACHED_BYTES = 64 * 1024 * 1024;

/** A row that is listed or asked for, see `Candidates`. */
const LISTED_ROW_US = 0.004;

/** A record that is read from the store with many others, and judged; each float of it. */
const READ_US = 4;
const READ_FLOAT_US = 0.012;

/** Points that the graph asks about for each candidate, where all match. */
const VISITS_PER_CANDIDATE = 1.5;

/** The sample that `calibrate` measures: small enough for a few milliseconds on a slow machine. */
const SAMPLE_POINTS = 160;
const SAMPLE_DIMENSION = 32;
const SAMPLE_ROUNDS = 8;

/** Code of this process must be compiled while it is measured, that of the graph is. */
const DISTANCE_BATCHES = 48;
const VISIT_BATCHES = 8;

/** What the sample costs on the machine of the constants. */
const SAMPLE_DISTANCE_US = 0.03;
const SAMPLE_VISIT_US = 0.14;

/** A machine is not thought to be further off than this: then it was busy while it was measured. */
const FACTOR_MAX = 8;

/** The collection and the query that costs are asked for. */
export interface CostShape {
  readonly records: number;
  readonly dimension: number;
  /** Candidates of the graph, at least the hits that are wanted. */
  readonly ef: number;
  /** Whether vectors are in memory beside the graph. */
  readonly exactCopy: boolean;
}

/** All costs are in microseconds. */
export class CostModel {
  readonly factors: CostFactors;

  constructor(factors: CostFactors = DEFAULT_FACTORS) {
    this.factors = factors;
  }

  /** Points that the graph asks about, where so many records match. */
  visits({ records, ef }: CostShape, matches: number): number {
    return Math.min(records, (VISITS_PER_CANDIDATE * ef * records) / Math.max(1, matches));
  }

  /** A search of the graph for matches alone, where indexes tell them. */
  graphUs(shape: CostShape, matches: number): number {
    return this.visits(shape, matches) * this.visitUs(shape);
  }

  /** One point that the graph asks about. */
  visitUs({ records, dimension }: CostShape): number {
    const cold = Math.min(1, (records * dimension * 4) / CACHED_BYTES);
    return this.factors.visit * (VISIT_US + VISIT_FLOAT_US * dimension + CACHE_MISS_US * cold);
  }

  /** The distance of a row that is given. */
  rowUs(shape: CostShape): number {
    const { dimension, exactCopy } = shape;
    const distanceUs = this.factors.distance * (DISTANCE_US + FLOAT_US * dimension);
    return exactCopy ? distanceUs : distanceUs + this.readUs(shape, 1);
  }

  /** Listing rows, by the cost that their `Candidates` tell. */
  listUs(cost: number): number {
    return this.factors.distance * LISTED_ROW_US * cost;
  }

  /** Reading the metadata of records one page after the other. */
  readUs({ dimension }: CostShape, records: number): number {
    return (READ_US + READ_FLOAT_US * dimension) * records;
  }
}

/**
 * Measures this machine for a few milliseconds: distances outside the graph, and points that a
 * small graph asks about. Where the clock does not move the defaults stay, and no graph is made.
 */
export function calibrate(
  clock: Pick<Clock, 'monotonicMs'>,
  createIndex: VectorIndexFactory,
): CostModel {
  const vectors = sampleVectors();
  const [query = new Float32Array(SAMPLE_DIMENSION)] = vectors;
  // The quickest batch: others met code that was not compiled yet, or shared the processor.
  const perItemUs = (batches: number, round: () => void): number => {
    let leastMs = Number.POSITIVE_INFINITY;
    for (let batch = 0; batch < batches; batch++) {
      const startMs = clock.monotonicMs();
      for (let at = 0; at < SAMPLE_ROUNDS; at++) round();
      leastMs = Math.min(leastMs, clock.monotonicMs() - startMs);
      // Nothing is quicker than that.
      if (leastMs === 0) break;
    }
    return (1_000 * leastMs) / (SAMPLE_ROUNDS * SAMPLE_POINTS);
  };
  const arena = new Float32Array(SAMPLE_POINTS * SAMPLE_DIMENSION);
  for (const [at, vector] of vectors.entries()) arena.set(vector, at * SAMPLE_DIMENSION);
  const meter = meterTo('l2', query);
  const distances = new Float64Array(SAMPLE_POINTS);
  const distanceUs = perItemUs(DISTANCE_BATCHES, () => {
    for (let at = 0; at < SAMPLE_POINTS; at += 2) {
      const offset = at * SAMPLE_DIMENSION;
      meter.two(
        arena,
        offset,
        arena,
        offset + SAMPLE_DIMENSION,
        distances,
        at,
        Number.POSITIVE_INFINITY,
      );
    }
  });
  if (distanceUs === 0) return new CostModel();
  const index = createIndex({
    dimension: SAMPLE_DIMENSION,
    metric: 'l2',
    m: 8,
    efConstruction: 16,
  });
  for (const [label, vector] of vectors.entries()) index.add(label, vector);
  const visitUs = perItemUs(VISIT_BATCHES, () => void index.search(query, 1, 1, () => false));
  index.dispose();
  return new CostModel({
    distance: factor(distanceUs / SAMPLE_DISTANCE_US),
    visit: factor(visitUs / SAMPLE_VISIT_US),
  });
}

/** Any vectors do that differ; the same ones on every machine. */
function sampleVectors(): Float32Array[] {
  return Array.from({ length: SAMPLE_POINTS }, (_, point) =>
    Float32Array.from({ length: SAMPLE_DIMENSION }, (_, at) => Math.sin(point * 7 + at * at)),
  );
}

function factor(ratio: number): number {
  if (ratio === 0) return 1;
  return Math.min(FACTOR_MAX, Math.max(1 / FACTOR_MAX, ratio));
}
