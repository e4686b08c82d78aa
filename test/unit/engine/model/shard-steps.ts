/** What may happen to a shard, at random: few names and places, so that things meet. */
import fc from 'fast-check';
import type { JsonObject } from '../../../../src/shared/codec/struct.js';
import type { Filter } from '../../../../src/shared/filter.js';
import {
  arbitraryFilter,
  arbitraryMetadata,
  printFilter,
} from '../../shared/filter-arbitraries.js';

/** In another order than their slots. */
export const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'p', 'é'];
export const TENANTS = ['', 'x'];
export const COLLECTION_IDS = [1, 2, 3];
/** Vectors have whole coordinates from 0 to here: distances are exact, and many are equal. */
const COORDINATE_MAX = 7;
/** A disk operation or so a step: deaths come a few steps later, or never. */
const DEATH_STEPS_MAX = 24;

/** `current` demands the version that the record has when the command is made. */
export type Demand = 'absent' | 'exists' | 'current' | 'wrong';

export type Change =
  | {
      readonly kind: 'upsert';
      readonly vector: readonly [number, number];
      readonly metadata: JsonObject;
      readonly ttlMs: number | undefined;
    }
  | { readonly kind: 'patch'; readonly metadata: JsonObject }
  | { readonly kind: 'delete' };

export interface Write {
  readonly id: string;
  readonly tenant: string;
  readonly change: Change;
  readonly demand: Demand | undefined;
}

export interface Question {
  readonly collectionId: number;
  readonly vector: readonly [number, number];
  readonly k: number;
  readonly filter: JsonObject | undefined;
  readonly tenant: string | undefined;
}

export type Step =
  | {
      readonly kind: 'write';
      readonly collectionId: number;
      readonly writes: readonly Write[];
      /** Entries of the log that the request is cut into. */
      readonly entries: number;
      readonly isStale: boolean;
      /** Asked while it is applied. */
      readonly meanwhile: Question | undefined;
    }
  | { readonly kind: 'retry'; readonly back: number; readonly entries: number }
  | { readonly kind: 'ask'; readonly question: Question }
  | { readonly kind: 'create' | 'drop'; readonly collectionId: number }
  | { readonly kind: 'expire'; readonly nowMs: number; readonly isStale: boolean }
  | { readonly kind: 'check' | 'settle' | 'snapshot' | 'install' | 'reopen' }
  /** Rows go into graphs, and from worn ones into new ones: four or so a turn. */
  | { readonly kind: 'turns'; readonly count: number }
  /** The machine dies before the disk operation after so many more, and when it starts again. */
  | { readonly kind: 'doom'; readonly steps: number; readonly again: readonly number[] }
  | { readonly kind: 'crash' };

const coordinate = fc.nat(COORDINATE_MAX);
const vector = fc.tuple(coordinate, coordinate);
const collectionId = fc.constantFrom(1, 1, 1, ...COLLECTION_IDS);
const maybe = <T>(arbitrary: fc.Arbitrary<T>, freq = 1) =>
  fc.option(arbitrary, { nil: undefined, freq });

const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('upsert' as const),
      vector,
      metadata: arbitraryMetadata,
      ttlMs: fc.constantFrom(undefined, undefined, undefined, 0, 1, 40),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('patch' as const), metadata: arbitraryMetadata }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'delete' as const }) },
);

const id = fc.constantFrom(...IDS);
const tenant = fc.constantFrom(...TENANTS);

const write: fc.Arbitrary<Write> = fc.record({
  id,
  tenant,
  change,
  demand: fc.constantFrom(
    undefined,
    undefined,
    undefined,
    undefined,
    'absent',
    'exists',
    'current',
    'wrong',
  ),
});

const question: fc.Arbitrary<Question> = fc.record({
  collectionId,
  vector,
  k: fc.integer({ min: 1, max: 20 }),
  filter: maybe(arbitraryFilter.map((one: Filter) => printFilter(one))),
  tenant: fc.constantFrom(undefined, undefined, 'x', '', 'nobody'),
});

const only = <Kind extends string>(kind: Kind) => fc.constant({ kind });

const doom = fc.record({
  kind: fc.constant('doom' as const),
  steps: fc.nat(DEATH_STEPS_MAX),
  again: fc.array(fc.nat(8), { maxLength: 2 }),
});

const turns = fc.record({
  kind: fc.constant('turns' as const),
  count: fc.integer({ min: 1, max: 3 }),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 16,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      collectionId,
      writes: fc.uniqueArray(write, {
        minLength: 1,
        maxLength: 6,
        selector: ({ id, tenant }) => `${tenant}/${id}`,
      }),
      entries: fc.integer({ min: 1, max: 3 }),
      isStale: fc.constantFrom(...new Array<boolean>(19).fill(false), true),
      meanwhile: maybe(question),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('retry' as const),
      back: fc.nat(4),
      entries: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('ask' as const), question }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('create' as const), collectionId }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('drop' as const),
      collectionId: fc.constantFrom(...COLLECTION_IDS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('expire' as const),
      nowMs: fc.nat(150),
      isStale: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: only('check') },
  { weight: 2, arbitrary: only('settle') },
  { weight: 2, arbitrary: turns },
  { weight: 1, arbitrary: only('snapshot') },
  { weight: 1, arbitrary: only('install') },
  { weight: 1, arbitrary: only('reopen') },
  { weight: 3, arbitrary: doom },
  { weight: 1, arbitrary: only('crash') },
);

export const steps: fc.Arbitrary<Step[]> = fc.array(step, {
  minLength: 1,
  maxLength: 60,
  size: 'max',
});

/** Replaces or removes some of the records of the first collection. */
const churn: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('write' as const),
  collectionId: fc.constant(1),
  writes: fc.uniqueArray(fc.record({ id, tenant, change, demand: fc.constant(undefined) }), {
    minLength: 2,
    maxLength: 8,
    selector: ({ id, tenant }) => `${tenant}/${id}`,
  }),
  entries: fc.constant(1),
  isStale: fc.constant(false),
  meanwhile: fc.constant(undefined),
});

/** Records are replaced all the time, so that their graph is worn after every few writes. */
export const churningSteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: churn },
    { weight: 8, arbitrary: turns },
    { weight: 2, arbitrary: only('settle') },
    { weight: 2, arbitrary: doom },
    { weight: 1, arbitrary: only('check') },
    { weight: 1, arbitrary: only('reopen') },
  ),
  { minLength: 30, maxLength: 60, size: 'max' },
);
