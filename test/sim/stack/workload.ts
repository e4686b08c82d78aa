/** Goal: what the simulated clients do. Method: sizes and shares, drawn from the seed of a run. */
import { utf8 } from '../../../src/shared/bytes.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Churn } from './administrator.js';

export interface Workload {
  readonly clients: number;
  readonly keys: number;
  /** Mean pause of a client between two operations. */
  readonly pauseMs: number;
  /** How long a client cares for one operation, and for one attempt at it. */
  readonly patienceMs: number;
  readonly attemptMs: number;
  /** Records of a write, at most. */
  readonly batchMax: number;
  /** Weights of the operations. */
  readonly shares: {
    readonly upsert: number;
    readonly delete: number;
    readonly fetch: number;
    readonly search: number;
  };
  /** Length of the metadata of a record. */
  readonly metadataBytes: number;
  /** Mean pause between collections that come and go; absent where none do. */
  readonly operatorPauseMs: number | undefined;
  readonly churn: Churn;
  /** Mean pause between two changes of leaders or replicas. */
  readonly churnPauseMs: number;
}

export const DIMENSION = 2;
export const COLLECTION = 'main';

export function drawWorkload(random: SimRandom): Workload {
  return {
    clients: random.integer(2, 6),
    keys: random.pick([3, 10, 40]),
    pauseMs: random.pick([5, 50, 200]),
    patienceMs: random.pick([1_500, 4_000]),
    attemptMs: random.pick([400, 1_500]),
    batchMax: random.pick([1, 1, 4]),
    shares: {
      upsert: random.pick([4, 10]),
      delete: random.pick([0, 1, 4]),
      fetch: random.pick([3, 8]),
      search: random.pick([0, 1, 2]),
    },
    metadataBytes: random.pick([0, 0, 40, 2_000]),
    operatorPauseMs: random.pick([undefined, undefined, 100, 1_000]),
    churn: random.pick(['none', 'none', 'leaders', 'members', 'members', 'wipe']),
    churnPauseMs: random.pick([100, 500, 2_000]),
  };
}

export function collectionNamed(name: string): CollectionConfig {
  return { name, dimension: DIMENSION, metric: 'l2', m: 4, efConstruction: 8, indexedFields: [] };
}

/** The record's values carry the serial of its write, exactly: floats hold integers to 2^24. */
export function valuesOf(serial: number, key: string): Uint8Array {
  const values = Float32Array.of(serial, key.length);
  return new Uint8Array(values.buffer);
}

export function serialOf(values: Uint8Array | undefined): number {
  if (values === undefined || values.length !== 4 * DIMENSION) return Number.NaN;
  return new DataView(values.buffer, values.byteOffset).getFloat32(0, true);
}

/** Bytes that nobody reads; they fill logs and snapshots. */
export function metadataOf(serial: number, length: number): Uint8Array {
  return utf8(String(serial).padEnd(length, '.')).subarray(0, length);
}
