// Goal: a search of the graph ends soon after its budget is spent, or where no match is near.
// Method: count what a real graph asks, with budgets below and above what it would take.
import { describe, expect, it } from 'vitest';
import { HnswIndex } from '../../../../src/engine/index/hnsw-index.js';
import type { Probe } from '../../../../src/engine/plan/planner.js';
import { type GivenUpVisits, VisitBudget } from '../../../../src/engine/plan/visit-budget.js';
import { clusteredVectors } from '../../../support/vectors.js';

const COUNT = 2_000;
const DIMENSION = 8;
/** Of points around clusters; the query is the first of them. */
const VECTORS = clusteredVectors({ count: COUNT, dimension: DIMENSION, seed: 2 });

interface Asked {
  readonly calls: number;
  readonly visits: number;
  readonly givenUp: GivenUpVisits | undefined;
}

/** How often the graph asks, and why it was given up. */
function asked(
  plan: { readonly visitsMax: number; readonly probe?: Probe },
  matches: (label: number) => boolean = () => false,
): Asked {
  const options = { dimension: DIMENSION, metric: 'l2', m: 16, efConstruction: 100 } as const;
  const index = new HnswIndex(options);
  for (const [label, vector] of VECTORS.entries()) index.add(label, vector);
  const budget = new VisitBudget({ matches }, plan);
  let calls = 0;
  const [query = new Float32Array(DIMENSION)] = VECTORS;
  index.search(query, 10, 20, (label) => {
    calls++;
    return budget.accept(label);
  });
  index.dispose();
  return { calls, visits: budget.visits, givenUp: budget.givenUp };
}

describe('a visit budget', () => {
  it('lets the graph ask about every point where nothing matches and it is wide enough', () => {
    expect(asked({ visitsMax: COUNT })).toMatchObject({ calls: COUNT, givenUp: undefined });
  });

  it('ends the search once it is spent, by accepting everything (Q1)', () => {
    const { calls, visits, givenUp } = asked({ visitsMax: 200 });
    expect([visits, givenUp]).toEqual([201, 'spent']);
    expect(calls).toBeLessThan(COUNT / 2);
  });

  it('ends the search where too few of the first points match (Q5)', () => {
    const plan = { visitsMax: COUNT, probe: { visits: 64, matchesMin: 4 } };
    const none = asked(plan);
    expect([none.visits, none.givenUp]).toEqual([64, 'far']);
    expect(none.calls).toBeLessThan(COUNT / 4);
    let seen = 0;
    const fourth = asked(plan, () => ++seen % 16 === 0);
    expect(fourth.givenUp).toBe(undefined);
    seen = 0;
    const late = asked(plan, () => ++seen > 61);
    expect(late.givenUp).toBe('far');
  });

  it('looks at the first points only: a search that ends before them is as it is', () => {
    const plan = { visitsMax: COUNT, probe: { visits: COUNT, matchesMin: COUNT } };
    expect(asked(plan, () => true).givenUp).toBe(undefined);
  });
});
