// Goal: a search in slices loses no record and doubles none, whatever is written in between (H4).
// Method: random writes and moves at each pause, against the distances that each record has had.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RowHit } from '../../../src/engine/graph.js';
import { IndexRig, keep, vector } from './index-rig.js';

describe('a search in slices', () => {
  const changes = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('put' as const), id: fc.nat(1_500), at: fc.nat(3_000) }),
      fc.record({ kind: fc.constant('remove' as const), id: fc.nat(1_500), at: fc.nat(3_000) }),
      fc.record({ kind: fc.constant('again' as const), id: fc.nat(40), at: fc.nat(60) }),
      fc.record({ kind: fc.constant('steps' as const), id: fc.nat(200), at: fc.nat(1) }),
    ),
    { maxLength: 120, size: 'max' },
  );

  describe.each([true, false])('with an exact copy: %s', (exactCopy) => {
    it.each(['rows', 'near'] as const)(
      'loses and doubles no record while %s change (H4)',
      async (kind) => {
        await fc.assert(
          fc.asyncProperty(
            changes,
            fc.nat(3_000),
            fc.integer({ min: 1, max: 30 }),
            async (steps, at, k) => {
              const rig = new IndexRig({ exactCopy });
              for (let id = 0; id < 1_500; id++) rig.put(`r${id}`, vector(2 * id, 0), 'load');
              for (let left = kind === 'near' ? 300 : 700; left > 0; left--) await rig.step();
              const query = vector(at, 0);
              /** All distances that each record had from the start on. */
              const past = new Map([...rig.distances(query)].map(([id, one]) => [id, [one]]));
              const removed = new Set<string>();
              let pauses = 0;
              const means = rig.means(async () => {
                const share = steps.slice(pauses * 30, pauses * 30 + 30);
                pauses++;
                for (const step of share) await carryOut(rig, step, removed);
                for (const [id, one] of rig.distances(query)) past.get(id)?.push(one);
              });
              const hits =
                kind === 'rows'
                  ? await rig.index.searchRows(
                      { vector: query, k, rows: rig.index.rows.toArray() },
                      means,
                      keep,
                    )
                  : await rig.index.searchNearInSlices(
                      { vector: query, k, ef: 64 },
                      means,
                      (near) => keep(near.hits),
                    );
              expect(pauses).toBeGreaterThan(0);
              rig.expectTrue(hits, query);
              expectNoneLost(rig, hits, k, past, removed);
            },
          ),
          { numRuns: 25 },
        );
      },
    );
  });

  /** What lived all the while is found, unless it was once no nearer than the last hit. */
  function expectNoneLost(
    rig: IndexRig,
    hits: readonly RowHit[],
    k: number,
    past: ReadonlyMap<string, readonly number[]>,
    removed: ReadonlySet<string>,
  ): void {
    const worst = (hits.length < k ? undefined : hits.at(-1)?.distance) ?? Number.POSITIVE_INFINITY;
    const found = new Set(hits.map((hit) => rig.idOf(hit)));
    for (const [id, distances] of past) {
      if (removed.has(id) || Math.max(...distances) >= worst) continue;
      expect(found, `${id} at ${distances}`).toContain(id);
    }
  }

  async function carryOut(
    rig: IndexRig,
    { kind, id, at }: { kind: string; id: number; at: number },
    removed: Set<string>,
  ): Promise<void> {
    const name = `r${id}`;
    if (kind === 'put') rig.put(name, vector(at, 0));
    else if (kind === 'steps') for (let left = id; left > 0; left--) await rig.step();
    else if (rig.model.has(name)) {
      rig.remove(name);
      removed.add(name);
      if (kind === 'again') rig.put(name, vector(at, 0));
    }
  }

  it('asks for the rows of a long backlog in slices, and again at its end (H4)', async () => {
    const rig = new IndexRig();
    for (let id = 0; id < 3_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
    const refused = new Set<number>();
    let asked = 0;
    const askedInTurns: number[] = [];
    const means = rig.means(() => {
      askedInTurns.push(asked);
      asked = 0;
      // One is refused from here on, and the row of another is used again by what arrives.
      if (askedInTurns.length === 3) refused.add(2);
      if (askedInTurns.length === 4) rig.remove('r4');
      if (askedInTurns.length === 5) rig.put('new', vector(1, 0));
    });
    const accept = (row: number): boolean => {
      asked++;
      return row % 2 === 0 && !refused.has(row);
    };
    const query = { vector: vector(0, 0), k: 4, ef: 10, accept };
    const hits = await rig.index.searchNearInSlices(query, means, ({ hits }) => keep(hits));
    expect(hits.map((hit) => rig.idOf(hit))).toEqual(['r0', 'new', 'r6', 'r8']);
    expect(Math.max(...askedInTurns)).toBeLessThanOrEqual(256);
  });

  it('begins again where too many of the nearest are gone at its end', async () => {
    const rig = new IndexRig();
    for (let id = 0; id < 1_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
    let pauses = 0;
    const means = rig.means(() => {
      // After all of the nearest were read.
      if (++pauses === 3) for (let id = 0; id < 60; id++) rig.remove(`r${id}`);
    });
    const rows = rig.index.rows.toArray();
    const hits = await rig.index.searchRows({ vector: vector(0, 0), k: 3, rows }, means, keep);
    expect(hits.map((hit) => rig.idOf(hit))).toEqual(['r60', 'r61', 'r62']);
    expect(pauses).toBeGreaterThan(3);
  });

  it.each([true, false])(
    'ends although all of the nearest are written again and again, copy: %s (H4)',
    async (exactCopy) => {
      const rig = new IndexRig({ exactCopy });
      for (let id = 0; id < 1_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
      await rig.settle();
      let pauses = 0;
      const means = rig.means(async () => {
        if (++pauses > 500) throw new Error('it does not end');
        for (let id = 0; id < 60; id++) rig.put(`r${id}`, vector(id, (pauses % 2) / 4));
        await rig.settle();
      });
      const query = vector(0, 0);
      const rows = rig.index.rows.toArray();
      const hits = await rig.index.searchRows({ vector: query, k: 3, rows }, means, keep);
      expect(hits.map((hit) => rig.idOf(hit))).toEqual(['r0', 'r1', 'r2']);
      rig.expectTrue(hits, query);
    },
  );

  it('ends with nothing where its collection is dropped meanwhile', async () => {
    const rig = new IndexRig();
    for (let id = 0; id < 2_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
    const means = rig.means(() => {
      if (!rig.index.disposed) rig.index.dispose();
    });
    const query = { vector: vector(0, 0), k: 3, ef: 10 };
    expect(await rig.index.searchNearInSlices(query, means, ({ hits }) => keep(hits))).toEqual([]);
  });
});
