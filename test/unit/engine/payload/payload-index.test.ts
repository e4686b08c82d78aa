// Goal: the payload index selects what `matches` says, whatever was written and whatever is asked.
// Method: random records and filters over declared fields and others, odd values among them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PayloadIndex } from '../../../../src/engine/payload/payload-index.js';
import { encodeStruct, type JsonObject } from '../../../../src/shared/codec/struct.js';
import { type Filter, matches, parseFilter } from '../../../../src/shared/filter.js';
import { arbitraryFilter, arbitraryMetadata, FIELDS } from '../../shared/filter-arbitraries.js';

/** A record written to a row, or its removal. */
const change = fc.record({
  row: fc.integer({ min: 0, max: 60 }),
  tenant: fc.constantFrom('', 'x', 'y'),
  metadata: fc.option(arbitraryMetadata, { nil: undefined }),
});

interface Stored {
  readonly tenant: string;
  readonly metadata: JsonObject;
}

interface Change {
  readonly row: number;
  readonly tenant: string;
  readonly metadata: JsonObject | undefined;
}

function build(changes: readonly Change[]): { index: PayloadIndex; stored: Map<number, Stored> } {
  const index = new PayloadIndex(FIELDS);
  const stored = new Map<number, Stored>();
  for (const { row, tenant, metadata: written } of changes) {
    if (written === undefined) {
      index.remove(row);
      stored.delete(row);
    } else {
      index.put(row, tenant, encodeStruct(written));
      stored.set(row, { tenant, metadata: written });
    }
  }
  return { index, stored };
}

/** Copies of what the index may and must select. */
function selected(index: PayloadIndex, asked: Filter | undefined, tenant?: string) {
  const { possible, certain, isExact } = index.resolve(asked, tenant);
  return { rows: possible.rows().clone(), certain: certain.rows().clone(), isExact };
}

describe('a payload index', () => {
  it('selects all matches, is exact where it says so, and is certain of nothing else (Q2)', () => {
    const tenant = fc.constantFrom(undefined, 'x', 'nobody');
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 80 }),
        arbitraryFilter,
        tenant,
        (changes, asked, of) => {
          const { index, stored } = build(changes);
          const expected = [...stored]
            .filter(([, record]) => of === undefined || record.tenant === of)
            .filter(([, record]) => matches(asked, record.metadata, FIELDS))
            .map(([row]) => row)
            .sort((a, b) => a - b);
          const { rows, certain, isExact } = selected(index, asked, of);
          const matching = new Set(expected);
          expect(expected.filter((row) => !rows.has(row))).toEqual([]);
          expect([...certain].filter((row) => !matching.has(row))).toEqual([]);
          expect([...certain].filter((row) => !rows.has(row))).toEqual([]);
          expect([...rows].filter((row) => !stored.has(row))).toEqual([]);
          if (isExact) expect([...rows]).toEqual(expected);
          expect(isExact).toBe(index.fieldsOf(asked).scanned.length === 0);
          const { possible, certain: sure } = index.resolve(asked, of);
          const { min } = sure.estimate;
          const { expected: likely, max } = possible.estimate;
          expect(min).toBeLessThanOrEqual(expected.length);
          expect(max).toBeGreaterThanOrEqual(expected.length);
          expect(likely).toBeGreaterThanOrEqual(possible.estimate.min);
          expect(likely).toBeLessThanOrEqual(max);
          for (const row of stored.keys()) {
            expect(possible.has(row)).toBe(rows.has(row));
            expect(sure.has(row)).toBe(certain.has(row));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  const RECORDS = 1_000;
  const counted = (): PayloadIndex => {
    const index = new PayloadIndex(FIELDS);
    for (let row = 0; row < RECORDS; row++) {
      const tags = row % 2 === 0 ? ['even', 'all'] : ['odd', 'all'];
      index.put(row, `t${row % 10}`, encodeStruct({ count: row, word: tags, flag: row < 10 }));
    }
    return index;
  };
  const parsed = (json: JsonObject): Filter => parseFilter(json, FIELDS);

  it('knows how many values a range over single values has, both ends together', () => {
    const index = counted();
    const asked = parsed({ count: { $gte: 100, $lt: 130 } });
    expect(index.resolve(asked).possible.estimate).toEqual({ min: 30, expected: 30, max: 30 });
    expect([...selected(index, asked).rows]).toEqual(
      Array.from({ length: 30 }, (_, at) => 100 + at),
    );
    expect(selected(index, parsed({ count: { $gt: 5, $lt: 3 } })).rows.size).toBe(0);
    expect(selected(index, parsed({ count: { $gte: 1 } })).rows.size).toBe(RECORDS - 1);
  });

  it('takes both ends of a range apart where a record has several values', () => {
    const index = counted();
    index.put(2_000, '', encodeStruct({ count: [50, 200] }));
    const { rows } = selected(index, parsed({ count: { $gte: 100, $lt: 130 } }));
    expect(rows.has(2_000)).toBe(true);
    expect(rows.size).toBe(31);
  });

  it('expects of several conditions what chance would leave', () => {
    const index = counted();
    const { possible } = index.resolve(parsed({ word: 'even', count: { $lt: 100 } }));
    const { expected, max } = possible.estimate;
    expect(expected).toBeCloseTo(50, -1);
    expect(max).toBe(100);
  });

  it('asks for the few rows of a tenant instead of listing a wide range', () => {
    const index = counted();
    const { possible } = index.resolve(parsed({ count: { $gte: 300, $lt: 700 } }), 't3');
    expect(possible.rows().size).toBe(40);
    expect(selected(index, undefined, 't3').rows.size).toBe(RECORDS / 10);
    expect(selected(index, undefined).rows.size).toBe(RECORDS);
  });

  it('forgets a row wholly, and holds nothing when all are gone', () => {
    const index = counted();
    for (let row = 0; row < RECORDS; row++) index.remove(row);
    index.remove(3);
    expect(selected(index, undefined).rows.size).toBe(0);
    expect(selected(index, parsed({ count: { $exists: true } })).rows.size).toBe(0);
    expect(selected(index, parsed({ word: { $in: ['even', 'odd', 'all'] } })).rows.size).toBe(0);
    expect(index.memoryBytes).toBeLessThan(200_000);
  });

  it('says which fields it answers', () => {
    const index = counted();
    const asked = parsed({ count: 1, 'deep.word': { $gt: 'a' }, free: 'x', $not: { free: 'y' } });
    expect(index.fieldsOf(asked)).toEqual({ indexed: ['count', 'deep.word'], scanned: ['free'] });
  });

  it('has nothing at any field of metadata that are no Struct', () => {
    const index = new PayloadIndex(FIELDS);
    index.put(0, '', Uint8Array.of(255, 255, 255));
    expect([...selected(index, parsed({ count: { $exists: false } })).rows]).toEqual([0]);
  });

  it('does not double the field that is declared twice', () => {
    const index = new PayloadIndex([
      { path: 'count', type: 'keyword' },
      { path: 'count', type: 'integer' },
    ]);
    index.put(0, '', encodeStruct({ count: 7 }));
    expect([...selected(index, { kind: 'in', path: 'count', values: [7] }).rows]).toEqual([0]);
  });
});
