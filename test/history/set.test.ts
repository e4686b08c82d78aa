// Goal: the set checker finds what is lost, comes from nowhere, comes back or is there twice (O1).
// Method: small histories by hand, and random runs of a true set.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Outcome, SetOperation, Value } from './operation.js';
import { checkSet } from './set.js';

const change = (
  op: 'add' | 'remove',
  value: Value,
  start: number,
  end: number,
  outcome: Outcome = 'ok',
): SetOperation => ({ client: 'c', key: 's', op, value, start, end, outcome });
const readAll = (values: readonly Value[], start: number, end: number): SetOperation => ({
  client: 'c',
  key: 's',
  op: 'read-all',
  values,
  start,
  end,
  outcome: 'ok',
});
const kindsOf = (...history: SetOperation[]) => checkSet(history).map(({ kind }) => kind);

describe('checkSet', () => {
  it('accepts what was added, and unknown additions and removals either way', () => {
    const added = [change('add', 1, 1, 2), change('add', 2, 1, 3, 'unknown')];
    expect(kindsOf(...added, readAll([1], 4, 5))).toEqual([]);
    expect(kindsOf(...added, readAll([2, 1], 4, 5))).toEqual([]);
    const removed = change('remove', 1, 3, 4, 'unknown');
    expect(kindsOf(...added, removed, readAll([1], 5, 6), readAll([], 7, 8))).toEqual([]);
  });

  it('accepts both answers of a read that overlaps the change', () => {
    const history = [change('add', 1, 1, 10), readAll([], 2, 3)];
    expect(kindsOf(...history, readAll([1], 4, 11), readAll([1], 12, 13))).toEqual([]);
  });

  it('finds a lost value, also one that only a read has acknowledged', () => {
    expect(kindsOf(change('add', 1, 1, 2), readAll([], 3, 4))).toEqual(['lost']);
    const seen = [change('add', 1, 1, 2, 'unknown'), readAll([1], 3, 4)];
    expect(kindsOf(...seen, readAll([], 5, 6))).toEqual(['lost']);
  });

  it('finds a value from nowhere, a refused one and one from the future', () => {
    expect(kindsOf(readAll([1], 3, 4))).toEqual(['phantom']);
    expect(kindsOf(change('add', 1, 1, 2, 'fail'), readAll([1], 3, 4))).toEqual(['phantom']);
    const early = [readAll([1], 1, 2), change('add', 1, 3, 4), readAll([1], 5, 6)];
    expect(kindsOf(...early)).toEqual(['phantom']);
  });

  it('finds a value that is there twice', () => {
    expect(kindsOf(change('add', 1, 1, 2), readAll([1, 1], 3, 4))).toEqual(['duplicate']);
  });

  it('finds a removed value that is back', () => {
    const history = [change('add', 1, 1, 2), change('remove', 1, 3, 4)];
    expect(kindsOf(...history, readAll([], 5, 6))).toEqual([]);
    expect(kindsOf(...history, readAll([1], 5, 6))).toEqual(['resurrected']);
  });

  it('refuses a history that nobody looked at in the end, and values that are added twice', () => {
    expect(() => checkSet([readAll([], 1, 2), change('add', 1, 3, 4)])).toThrow(/no read/);
    const twice = [change('add', 1, 1, 2), change('add', 1, 3, 4), readAll([1], 5, 6)];
    expect(() => checkSet(twice)).toThrow(/twice/);
  });

  it('accepts every run of a true set', () => {
    const steps = fc.array(
      fc.record({ isAdd: fc.boolean(), before: fc.nat(30), after: fc.nat(30) }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, (taken) => {
        const held: Value[] = [];
        const history = taken.map(({ isAdd, before, after }, at): SetOperation => {
          // It takes effect at 10 x at, somewhere between its start and its end.
          const effect = 10 * at;
          if (!isAdd) return readAll([...held], effect - before, effect + after);
          held.push(at);
          return change('add', at, effect - before, effect + after);
        });
        expect(kindsOf(...history, readAll(held, 1_000, 1_001))).toEqual([]);
      }),
    );
  });
});
