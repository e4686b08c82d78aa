// Goal: the list checker finds what is lost, foreign, repeated or out of order (O1, O2).
// Method: small histories by hand, and random runs of a true list.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkAppend } from './append.js';
import type { AppendOperation, Outcome, Value } from './operation.js';

const append = (
  value: Value,
  start: number,
  end: number,
  outcome: Outcome = 'ok',
): AppendOperation => ({ client: 'c', key: 'l', op: 'append', value, start, end, outcome });
const readAll = (values: readonly Value[], start: number, end: number): AppendOperation => ({
  client: 'c',
  key: 'l',
  op: 'read-all',
  values,
  start,
  end,
  outcome: 'ok',
});
const kindsOf = (...history: AppendOperation[]) => checkAppend(history).map(({ kind }) => kind);

describe('checkAppend', () => {
  it('accepts appends in the order of time, and any order of those that overlap', () => {
    expect(kindsOf(append(1, 1, 2), append(2, 3, 4), readAll([1, 2], 5, 6))).toEqual([]);
    expect(kindsOf(append(1, 1, 4), append(2, 1, 4), readAll([2, 1], 5, 6))).toEqual([]);
  });

  it('accepts an unknown append anywhere after its start, or nowhere', () => {
    const history = [append(1, 1, 2, 'unknown'), append(2, 3, 4)];
    expect(kindsOf(...history, readAll([2, 1], 5, 6))).toEqual([]);
    expect(kindsOf(...history, readAll([1, 2], 5, 6))).toEqual([]);
    expect(kindsOf(...history, readAll([2], 5, 6))).toEqual([]);
  });

  it('finds a lost, a foreign, a refused and a repeated value', () => {
    expect(kindsOf(append(1, 1, 2), readAll([], 3, 4))).toEqual(['lost']);
    expect(kindsOf(readAll([7], 3, 4))).toEqual(['phantom']);
    expect(kindsOf(append(1, 1, 2, 'fail'), readAll([1], 3, 4))).toEqual(['phantom']);
    expect(kindsOf(append(1, 1, 2), readAll([1, 1], 3, 4))).toEqual(['duplicate']);
  });

  it('finds appends in the wrong order, also with others in between', () => {
    expect(kindsOf(append(1, 1, 2), append(2, 3, 4), readAll([2, 1], 5, 6))).toEqual(['order']);
    const open = append(3, 1, 9);
    const history = [append(1, 1, 2), append(2, 3, 4), open];
    expect(kindsOf(...history, readAll([2, 3, 1], 10, 11))).toEqual(['order']);
    expect(kindsOf(append(1, 3, 4, 'unknown'), append(2, 1, 2), readAll([1, 2], 5, 6))).toEqual([
      'order',
    ]);
  });

  it('finds two reads of which neither continues the other, and one that is stale', () => {
    const both = [append(1, 1, 9), append(2, 1, 9)];
    expect(kindsOf(...both, readAll([1], 2, 9), readAll([2, 1], 10, 11))).toEqual(['order']);
    const seen = [append(1, 1, 2, 'unknown'), readAll([1], 3, 4)];
    expect(kindsOf(...seen, readAll([], 5, 6))).toEqual(['lost']);
  });

  it('refuses a history without a look at the end, and values that are appended twice', () => {
    expect(() => checkAppend([append(1, 3, 4)])).toThrow(/no read/);
    const twice = [append(1, 1, 2), append(1, 3, 4), readAll([1], 5, 6)];
    expect(() => checkAppend(twice)).toThrow(/twice/);
  });

  it('accepts every run of a true list', () => {
    const steps = fc.array(
      fc.record({ isAppend: fc.boolean(), before: fc.nat(30), after: fc.nat(30) }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, (taken) => {
        const held: Value[] = [];
        const history = taken.map(({ isAppend, before, after }, at): AppendOperation => {
          const effect = 10 * at;
          if (!isAppend) return readAll([...held], effect - before, effect + after);
          held.push(at);
          return append(at, effect - before, effect + after);
        });
        expect(kindsOf(...history, readAll(held, 1_000, 1_001))).toEqual([]);
      }),
    );
  });
});
