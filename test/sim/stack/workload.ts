/** Goal: what the simulated clients do. Method: sizes and shares, drawn from the seed of a run. */
import type { CollectionConfig } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import { TENANT_COLLECTION } from './address.js';
import type { Churn } from './administrator.js';
import { DIMENSION, GROUP_FIELD } from './record-content.js';

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
    readonly patch: number;
    /** Deletes of all records of a group. */
    readonly sweep: number;
  };
  /** How many different vectors searches ask for. */
  readonly questions: number;
  /** Share of the reads that any replica may serve. */
  readonly relaxed: number;
  /** Ages that bounded ones allow: also some that nothing on the network is young enough for. */
  readonly boundsMs: readonly number[];
  /** Share of the searches that may do without shards. */
  readonly partial: number;
  /** Length of a field of the metadata that is only there to fill it. */
  readonly metadataBytes: number;
  /** Share of the writes that demand something of their record. */
  readonly conditional: number;
  /** Share of the records that expire by themselves, and how long those live. */
  readonly expiring: { readonly share: number; readonly ttlMs: number };
  /** How the collection is made. */
  readonly collection: Pick<CollectionConfig, 'indexedFields' | 'ttlMs'>;
  /** Mean pause between collections that come and go; absent where none do. */
  readonly operatorPauseMs: number | undefined;
  readonly churn: Churn;
  /** Mean pause between two changes of leaders or replicas. */
  readonly churnPauseMs: number;
}

export function drawWorkload(random: SimRandom): Workload {
  // From a source of its own: the other numbers of a seed are what they were before.
  const writes = random.fork('writes');
  const freshness = random.fork('freshness');
  return {
    clients: random.integer(2, 6),
    keys: random.pick([3, 10, 40]),
    pauseMs: random.pick([5, 50, 200]),
    patienceMs: random.pick([1_500, 4_000]),
    attemptMs: random.pick([400, 1_500]),
    batchMax: random.pick([1, 4, 20]),
    shares: {
      upsert: random.pick([4, 10]),
      delete: random.pick([0, 1, 4]),
      fetch: random.pick([3, 8]),
      search: random.pick([0, 1, 2]),
      patch: writes.pick([0, 2, 5]),
      sweep: writes.pick([0, 0, 0.1, 0.5]),
    },
    questions: 1_001,
    relaxed: freshness.pick([0, 0.3, 0.7]),
    boundsMs: freshness.pick([[5, 50, 400, 3_000], [20, 60], [150]]),
    partial: random.fork('partial').pick([0, 0, 0.3, 0.8]),
    metadataBytes: random.pick([0, 0, 40, 2_000]),
    conditional: writes.pick([0, 0.3, 0.8]),
    expiring: { share: writes.pick([0, 0, 0.3, 0.7]), ttlMs: writes.pick([1, 400, 3_000]) },
    collection: {
      indexedFields: writes.chance(0.5) ? [{ path: GROUP_FIELD, type: 'integer' }] : [],
      ...(writes.chance(0.2) && { ttlMs: 5_000 }),
    },
    operatorPauseMs: random.pick([undefined, undefined, 100, 1_000]),
    churn: random.pick(['none', 'none', 'leaders', 'members', 'members', 'wipe']),
    churnPauseMs: random.pick([100, 500, 2_000]),
  };
}

/** Few questions, and fewer writes between two of them: an answer may serve more than once. */
export function drawRepetition(workload: Workload, random: SimRandom): Workload {
  const pauseMs = random.pick([workload.pauseMs, 400, 400]);
  return { ...workload, questions: random.pick([1, 2]), pauseMs };
}

/**
 * Of clients that write one record and look at it all the time: what is only stale for a moment has
 * to be met by a read of just that moment.
 */
export function onOneRecord(workload: Workload): Workload {
  return {
    ...workload,
    keys: 1,
    batchMax: 1,
    pauseMs: 10,
    shares: { upsert: 1, delete: 0, fetch: 2, search: 0, patch: 0, sweep: 0 },
    conditional: 0,
    expiring: { ...workload.expiring, share: 0 },
  };
}

/** Of clients that follow the tenant that came last: routers are wrong about that one first. */
export function onOneTenant(workload: Workload): Workload {
  return {
    ...workload,
    batchMax: 1,
    pauseMs: 10,
    // A node with an old table answers late: they go to another one, and see more.
    attemptMs: 100,
    shares: { upsert: 2, delete: 0.5, fetch: 1, search: 3, patch: 0, sweep: 0 },
    conditional: 0,
    expiring: { ...workload.expiring, share: 0 },
  };
}

/** Of clients that ask the same again and again, and now and then see to it that it changes. */
export function onFewQuestions(workload: Workload): Workload {
  return {
    ...workload,
    batchMax: 1,
    pauseMs: 5,
    shares: { upsert: 1, delete: 0.5, fetch: 1, search: 30, patch: 0, sweep: 0 },
    relaxed: 0.9,
    boundsMs: [20, 60, 150, 400],
    conditional: 0,
    expiring: { ...workload.expiring, share: 0 },
  };
}

export function collectionNamed(
  name: string,
  settings: Workload['collection'] = { indexedFields: [] },
): CollectionConfig {
  const common = { name, dimension: DIMENSION, metric: 'l2', m: 4, efConstruction: 8 } as const;
  return { ...common, ...settings, ...(name === TENANT_COLLECTION && { routing: 'tenant' }) };
}
