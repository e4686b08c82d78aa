// Goal: the planner takes the plan that is cheaper by the model, and bounds what it cannot foresee.
// Method: plans for chosen shapes, and properties over random ones.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactly } from '../../../../src/engine/payload/candidates.js';
import { CostModel, type CostShape } from '../../../../src/engine/plan/cost-model.js';
import {
  CANDIDATES_MAX,
  chooseFarPlan,
  choosePlan,
  type PlanInput,
} from '../../../../src/engine/plan/planner.js';

const SHAPE: CostShape = { records: 100_000, dimension: 128, ef: 64, exactCopy: true };

function input(matches: number, other: Partial<PlanInput> = {}): PlanInput {
  return {
    shape: SHAPE,
    k: 10,
    matches: exactly(matches),
    listCost: 0,
    possible: matches,
    undecided: 0,
    ...other,
  };
}

/** Metadata decide about all records, and so many are expected to match. */
function undecided(expected: number): PlanInput {
  const { records } = SHAPE;
  const matches = { min: 0, expected, max: records };
  return input(0, { matches, possible: records, undecided: records });
}

const costs = new CostModel();

describe('the planner', () => {
  it.each([
    [100_000, 'graph'],
    [99_999, 'graph-filtered'],
    [50_000, 'graph-filtered'],
    [20_000, 'graph-filtered'],
    [1_000, 'exact-rows'],
    [100, 'exact-rows'],
    [10, 'exact-rows'],
    [1, 'exact-rows'],
    [0, 'exact-rows'],
  ])('takes for %i matches of 100,000: %s', (matches, kind) => {
    expect(choosePlan(input(matches), costs).kind).toBe(kind);
  });

  it.each([
    [50_000, 'graph-checked'],
    [5_000, 'graph-checked'],
    [500, 'graph-checked'],
    [5, 'scan'],
  ])('takes for about %i matches that metadata decide: %s', (matches, kind) => {
    expect(choosePlan(undecided(matches), costs).kind).toBe(kind);
  });

  it('leaves few rows to the exact plan, however dear it is thought to be', () => {
    const dear = new CostModel({ distance: 1e9, visit: 1e-9 });
    expect(choosePlan(input(10), dear).kind).toBe('exact-rows');
    expect(choosePlan(input(11), dear).kind).toBe('graph-filtered');
  });

  it('prefers the graph sooner where vectors have to be read for an exact search', () => {
    const shape = { ...SHAPE, exactCopy: false };
    expect(choosePlan(input(2_000), costs).kind).toBe('exact-rows');
    expect(choosePlan(input(2_000, { shape }), costs).kind).toBe('graph-filtered');
  });

  it('gives the graph the points that it needs, and not much more than the rows would cost', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 4_096 }),
        fc.integer({ min: 1, max: 1_000 }),
        (records, share, dimension, ef) => {
          const shape = { records, dimension, ef, exactCopy: true };
          const matches = Math.floor(records * share);
          const plan = choosePlan({ ...input(matches), shape }, costs);
          if (plan.kind !== 'graph-filtered') return;
          const exactUs = costs.rowUs(shape) * matches;
          expect(plan.visitsMax).toBeGreaterThanOrEqual(Math.floor(costs.visits(shape, matches)));
          expect(plan.visitsMax * costs.visitUs(shape)).toBeLessThan(
            1.5 * exactUs + 2 * costs.visitUs(shape),
          );
        },
      ),
    );
  });

  it('reads more candidates the fewer match, and never more than one turn can take', () => {
    const few = choosePlan(undecided(1_000), costs);
    const many = choosePlan(undecided(40_000), costs);
    if (few.kind !== 'graph-checked' || many.kind !== 'graph-checked') {
      throw new Error(`${few.kind} and ${many.kind}`);
    }
    expect(few.candidates).toBeGreaterThan(many.candidates);
    // As many matches among the candidates of the graph as an unfiltered search would have.
    expect(many.ef).toBeGreaterThanOrEqual(SHAPE.ef * 2);
    expect(few.ef).toBeLessThanOrEqual(CANDIDATES_MAX);
  });

  it('expects of the first points a quarter of the matches that chance would leave (Q5)', () => {
    const plan = choosePlan(input(25_000), costs);
    if (plan.kind !== 'graph-filtered') throw new Error(plan.kind);
    expect(plan.probe).toEqual({ visits: 64, matchesMin: 4 });
    // Found early, well before the search would be over.
    expect(64).toBeLessThan(costs.visits(SHAPE, 25_000) / 4);
  });

  it.each([
    [90_000, 'graph-filtered'],
    [50_000, 'graph-filtered'],
    [10_000, 'exact-rows'],
  ])('takes for %i matches that lie away from the query: %s (Q5)', (matches, kind) => {
    const plan = chooseFarPlan(input(matches), costs);
    expect(plan.kind).toBe(kind);
    if (plan.kind !== 'graph-filtered') return;
    expect(plan.ef).toBe(8 * SHAPE.ef);
    expect(plan.probe).toBe(undefined);
    expect(plan.visitsMax).toBeGreaterThan(costs.visits({ ...SHAPE, ef: plan.ef }, matches));
  });

  it('asks no graph for more than one turn can take, unless that many are expected', () => {
    const shape = { ...SHAPE, records: 100_000_000 };
    const plan = choosePlan({ ...input(10_000_000), shape }, costs);
    if (plan.kind !== 'graph-filtered') throw new Error(plan.kind);
    expect(plan.visitsMax).toBe(32_768);
    const wide = chooseFarPlan({ ...input(10_000_000), shape: { ...shape, ef: 5_000 } }, costs);
    if (wide.kind !== 'graph-filtered') throw new Error(wide.kind);
    expect(wide.ef).toBe(CANDIDATES_MAX);
    expect(wide.visitsMax).toBeGreaterThan(costs.visits({ ...shape, ef: wide.ef }, 10_000_000));
  });
});
