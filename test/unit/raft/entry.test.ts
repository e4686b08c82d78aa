// Goal: the comparator and the size limit that everything else relies on.
// Method: exhaustive small domains, and properties against the definition.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entriesSizeBytes, isUpToDate, limitSize } from '../../../src/raft/entry.js';
import { entry } from '../../raft/replica.js';

describe('isUpToDate', () => {
  it('S-04, E2: compares the last terms, then the lengths, for all pairs in [0, 3]', () => {
    const ids = [0, 1, 2, 3].flatMap((term) => [0, 1, 2, 3].map((index) => ({ term, index })));
    for (const a of ids) {
      for (const b of ids) {
        const expected = a.term !== b.term ? a.term > b.term : a.index >= b.index;
        expect(isUpToDate(a, b), `${a.term}/${a.index} against ${b.term}/${b.index}`).toBe(
          expected,
        );
      }
    }
  });
});

describe('limitSize', () => {
  it('L11: keeps the longest prefix within the limit, and at least one entry', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 8 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 30 }), (lengths, maxSizeBytes) => {
        const entries = lengths.map((length, at) => entry(1, at + 1, 'x'.repeat(length)));
        const kept = limitSize(entries, maxSizeBytes);
        expect(kept).toEqual(entries.slice(0, kept.length));
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(1, entries.length));
        if (kept.length > 1) expect(entriesSizeBytes(kept)).toBeLessThanOrEqual(maxSizeBytes);
        if (kept.length < entries.length) {
          const oneMore = entries.slice(0, kept.length + 1);
          expect(entriesSizeBytes(oneMore)).toBeGreaterThan(maxSizeBytes);
        }
      }),
    );
  });
});
