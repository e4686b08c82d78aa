// Goal: the run-length list gives the same terms as the entries themselves, and never changes.
// Method: random appends and overwrites beside an array of terms.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../../src/shared/assert.js';
import { TermRuns } from '../../../src/storage/term-runs.js';
import { entriesOf } from './harness.js';

describe('TermRuns', () => {
  it('equals an array of terms, also in its older versions (property)', () => {
    const step = fc.record({
      back: fc.nat({ max: 5 }),
      terms: fc.array(fc.nat({ max: 2 }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.nat({ max: 9 }), fc.array(step, { maxLength: 30 }), (base, steps) => {
        const model = [3];
        let runs = TermRuns.after(base, 3);
        const versions: { runs: TermRuns; model: number[] }[] = [];
        for (const { back, terms } of steps) {
          if (terms.length > 0) model.length = Math.max(1, model.length - back);
          let term = model[model.length - 1] as number;
          const entries = terms.map((by, at) => {
            term += by;
            return { index: base + model.length + at, term };
          });
          model.push(...entries.map((entry) => entry.term));
          runs = runs.replaceFrom(entries);
          versions.push({ runs, model: [...model] });
        }
        for (const version of versions) {
          const found = version.model.map((_, at) => version.runs.at(base + at));
          expect(found).toEqual(version.model);
          const changes = version.model.filter(
            (term, at) => at > 0 && term !== version.model[at - 1],
          );
          expect(version.runs.count).toBe(1 + changes.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is the same object as long as the runs do not change', () => {
    const runs = TermRuns.after(0, 0).replaceFrom(entriesOf(1, 5, 1));
    expect(runs.replaceFrom(entriesOf(6, 9, 1))).toBe(runs);
    expect(runs.replaceFrom([])).toBe(runs);
    expect(runs.replaceFrom(entriesOf(6, 6, 2))).not.toBe(runs);
  });

  it('refuses terms that decrease and indexes before the log', () => {
    const runs = TermRuns.after(4, 2).replaceFrom(entriesOf(5, 6, 3));
    expect(() => runs.replaceFrom(entriesOf(7, 7, 2))).toThrow(InvariantError);
    expect(() => runs.replaceFrom(entriesOf(4, 4, 3))).toThrow(InvariantError);
    expect(() => runs.at(3)).toThrow(InvariantError);
    expect(runs.at(4)).toBe(2);
  });
});
