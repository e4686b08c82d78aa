// Goal: a search of the graph that meets no match ends soon after its budget is spent.
// Method: count what a real graph asks, with budgets below and above what it would take.
import { describe, expect, it } from 'vitest';
import { HnswIndex } from '../../../../src/engine/index/hnsw-index.js';
import { VisitBudget } from '../../../../src/engine/plan/visit-budget.js';
import { clusteredVectors } from '../../../support/vectors.js';

const COUNT = 2_000;
const DIMENSION = 8;
const NO_MATCH = { matches: () => false };

/** How often the graph asks, and whether the budget was spent. */
function asked(visitsMax: number): { calls: number; visits: number; isSpent: boolean } {
  const options = { dimension: DIMENSION, metric: 'l2', m: 16, efConstruction: 100 } as const;
  const index = new HnswIndex(options);
  const vectors = clusteredVectors({ count: COUNT, dimension: DIMENSION, seed: 2 });
  for (const [label, vector] of vectors.entries()) index.add(label, vector);
  const budget = new VisitBudget(NO_MATCH, visitsMax);
  let calls = 0;
  const [query = new Float32Array(DIMENSION)] = vectors;
  index.search(query, 10, 20, (label) => {
    calls++;
    return budget.accept(label);
  });
  index.dispose();
  return { calls, visits: budget.visits, isSpent: budget.isSpent };
}

describe('a visit budget', () => {
  it('lets the graph ask about every point where nothing matches and it is wide enough', () => {
    const { calls, isSpent } = asked(COUNT);
    expect(isSpent).toBe(false);
    expect(calls).toBe(COUNT);
  });

  it('ends the search once it is spent, by accepting everything (Q1)', () => {
    const { calls, visits, isSpent } = asked(200);
    expect(isSpent).toBe(true);
    expect(visits).toBe(201);
    expect(calls).toBeLessThan(COUNT / 2);
  });
});
