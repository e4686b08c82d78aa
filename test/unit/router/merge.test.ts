// Goal: merged hits are those of one big index, with each record once.
// Method: small tables, and properties against sorting everything.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareHits, isCutShort, mergeHits } from '../../../src/router/merge.js';
import type { SearchHit } from '../../../src/router/requests.js';

const hit = (id: string, distance: number, version = 1n, tenant = ''): SearchHit => ({
  id,
  tenant,
  version,
  distance,
});

const all = { offset: 0, limit: 100 };

/** What the merge must answer: sort everything, keep each record's newest version. */
function mergedSlowly(lists: readonly SearchHit[][], offset: number, limit: number): SearchHit[] {
  const newest = new Map<string, SearchHit>();
  for (const one of lists.flat()) {
    const key = JSON.stringify([one.tenant, one.id]);
    const known = newest.get(key);
    if (known === undefined || one.version > known.version) newest.set(key, one);
  }
  return [...newest.values()].sort(compareHits).slice(offset, offset + limit);
}

/** Lists as shards answer: sorted, and each record at most once in a list. */
const shardLists = (distinctVersions: boolean): fc.Arbitrary<SearchHit[][]> =>
  fc
    .array(
      fc.uniqueArray(
        fc.record({
          id: fc.constantFrom(...'abcdefghijkl'),
          tenant: fc.constantFrom('', 't'),
          distance: fc.constantFrom(0, 0.25, 0.5, 0.75, 1),
          version: fc.bigInt(1n, 4n),
        }),
        { selector: ({ id, tenant }) => `${id}/${tenant}`, maxLength: 16 },
      ),
      { maxLength: 6 },
    )
    .map((lists) =>
      lists.map((list, at) =>
        list
          .map((one) => ({
            ...one,
            // The same version of a record is the same record: it has one distance everywhere.
            version: distinctVersions ? one.version * 10n + BigInt(at) : one.version,
          }))
          .sort(compareHits),
      ),
    );

describe('mergeHits', () => {
  it('orders by distance, ties by id, ties of ids by tenant (M-12)', () => {
    const merged = mergeHits(
      [
        [hit('b', 0.5), hit('d', 0.5)],
        [hit('a', 0.5, 1n, 'x'), hit('c', 0.5)],
        [hit('z', 0.1), hit('a', 0.5, 1n, 'w')],
      ],
      all,
    );
    expect(merged.map(({ id, tenant }) => `${id}${tenant}`)).toEqual([
      'z',
      'aw',
      'ax',
      'b',
      'c',
      'd',
    ]);
  });

  it('keeps equal ids of two tenants apart', () => {
    const merged = mergeHits([[hit('a', 0.1, 1n, 'x')], [hit('a', 0.2, 9n, 'y')]], all);
    expect(merged.map(({ tenant }) => tenant)).toEqual(['x', 'y']);
  });

  it('takes the newest version of a record, also where an older one is closer', () => {
    const merged = mergeHits([[hit('a', 0.1, 1n), hit('b', 0.2)], [hit('a', 0.9, 2n)]], {
      offset: 0,
      limit: 1,
    });
    expect(merged).toEqual([hit('b', 0.2)]);
  });

  it('skips the offset over all lists together', () => {
    const lists = [
      [hit('a', 1), hit('d', 4)],
      [hit('b', 2), hit('e', 5)],
      [hit('c', 3), hit('f', 6)],
    ];
    const merged = mergeHits(lists, { offset: 2, limit: 3 });
    expect(merged.map(({ id }) => id)).toEqual(['c', 'd', 'e']);
  });

  it('answers nothing for no lists, empty lists, and an offset beyond the end', () => {
    expect(mergeHits([], all)).toEqual([]);
    expect(mergeHits([[], []], all)).toEqual([]);
    expect(mergeHits([[hit('a', 1)], [hit('b', 1)]], { offset: 2, limit: 5 })).toEqual([]);
    expect(mergeHits([[hit('a', 1)]], { offset: 1, limit: 5 })).toEqual([]);
  });

  it('equals a sort of all hits, each record in its newest version', () => {
    fc.assert(
      fc.property(
        shardLists(true),
        fc.nat({ max: 10 }),
        fc.nat({ max: 20 }),
        (lists, offset, limit) => {
          expect(mergeHits(lists, { offset, limit })).toEqual(mergedSlowly(lists, offset, limit));
        },
      ),
    );
  });

  it('answers each record once where two lists hold the very same version', () => {
    fc.assert(
      fc.property(shardLists(false), fc.nat({ max: 40 }), (lists, limit) => {
        const merged = mergeHits(lists, { offset: 0, limit });
        const ids = merged.map(({ id, tenant }) => `${id}/${tenant}`);
        expect(new Set(ids).size).toBe(ids.length);
        expect([...merged].sort(compareHits)).toEqual(merged);
      }),
    );
  });

  it('compares far less than a sort of all hits: 8 lists of 100', () => {
    let reads = 0;
    const counted = (id: string, distance: number): SearchHit => ({
      ...hit(id, 0),
      get distance() {
        reads++;
        return distance;
      },
    });
    const lists = Array.from({ length: 8 }, (_, list) =>
      Array.from({ length: 100 }, (_, at) => counted(`${list}-${at}`, (at * 7 + list * 3) / 1_000)),
    );
    mergeHits(lists, { offset: 0, limit: 100 });
    const mergeReads = reads;
    reads = 0;
    lists.flat().sort(compareHits);
    expect(mergeReads).toBeLessThan(reads / 2);
  });
});

describe('isCutShort', () => {
  const depth = fc.integer({ min: 1, max: 8 });
  const distinct = shardLists(true).map((lists) =>
    lists.map((list, at) =>
      list.map((one) => ({ ...one, id: `${one.id}${at}` })).sort(compareHits),
    ),
  );

  it('is false only where lists of any length give the same hits', () => {
    fc.assert(
      fc.property(distinct, fc.nat(6), depth, depth, (lists, offset, limit, asked) => {
        const window = { offset, limit };
        const short = lists.map((list) => list.slice(0, asked));
        const hits = mergeHits(short, window);
        if (isCutShort(short, hits, window, asked)) return;
        expect(hits).toEqual(mergeHits(lists, window));
      }),
    );
  });

  it('never says so of lists that are as long as the window', () => {
    fc.assert(
      fc.property(distinct, fc.nat(6), depth, fc.nat(4), (lists, offset, limit, more) => {
        const window = { offset, limit };
        const asked = offset + limit + more;
        const whole = mergeHits(lists, window);
        const hits = mergeHits(
          lists.map((list) => list.slice(0, asked)),
          window,
        );
        expect(hits).toEqual(whole);
      }),
    );
  });

  it('is true where all of a full list is used, or hits are wanting', () => {
    const near = [hit('a', 0.1), hit('b', 0.2)];
    const far = [hit('c', 0.8), hit('d', 0.9)];
    const window = { offset: 0, limit: 3 };
    expect(isCutShort([near, far], mergeHits([near, far], window), window, 2)).toBe(true);
    expect(isCutShort([near, far], mergeHits([near, far], window), window, 3)).toBe(false);
    const wider = { offset: 3, limit: 3 };
    expect(isCutShort([near, far], mergeHits([near, far], wider), wider, 2)).toBe(true);
  });
});
