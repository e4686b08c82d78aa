// Goal: the register checker accepts what one copy can do, and finds what it cannot (F O1-O3).
// Method: small histories by hand; random ones against a checker that tries every order.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Outcome, RegisterOperation, Value } from './operation.js';
import { checkRegister } from './register.js';

interface Times {
  readonly start: number;
  readonly end: number;
  readonly outcome?: Outcome;
}

const call = ({ start, end, outcome = 'ok' }: Times) => ({
  client: 'c',
  key: 'r',
  start,
  end,
  outcome,
});
const write = (value: Value, start: number, end: number, more: object = {}) =>
  ({ op: 'write', value, ...call({ start, end }), ...more }) as RegisterOperation;
const read = (value: Value | undefined, start: number, end: number) =>
  ({ op: 'read', value, ...call({ start, end }) }) as RegisterOperation;
const remove = (start: number, end: number, more: object = {}) =>
  ({ op: 'delete', ...call({ start, end }), ...more }) as RegisterOperation;
const swap = (expected: Value, value: Value, swapped: boolean, start: number, end: number) =>
  ({ op: 'cas', expected, value, swapped, ...call({ start, end }) }) as RegisterOperation;
const unknown = { outcome: 'unknown' };

const faultsOf = (...history: RegisterOperation[]) => checkRegister(history).length;

describe('checkRegister accepts', () => {
  it('operations in order, and reads on either side of a write that they overlap', () => {
    expect(faultsOf(read(undefined, 1, 2), write(1, 3, 4), read(1, 5, 6))).toBe(0);
    const during = [read(undefined, 2, 3), read(1, 4, 5), read(1, 11, 12)];
    expect(faultsOf(write(1, 1, 10), ...during)).toBe(0);
  });

  it('operations that touch in either order', () => {
    expect(faultsOf(write(1, 1, 2), read(undefined, 2, 3))).toBe(0);
  });

  it('an unknown write that shows up late, early or never', () => {
    const lost = write(1, 1, 2, unknown);
    expect(faultsOf(lost, read(undefined, 3, 4), read(1, 8, 9))).toBe(0);
    expect(faultsOf(lost, write(2, 3, 4), read(2, 5, 6))).toBe(0);
    expect(faultsOf(lost, write(2, 3, 4), read(2, 5, 6), read(1, 7, 8))).toBe(0);
  });

  it('an unknown delete and an unknown swap that take effect between two reads', () => {
    expect(
      faultsOf(write(1, 1, 2), remove(3, 4, unknown), read(1, 5, 6), read(undefined, 7, 8)),
    ).toBe(0);
    const swapped = { ...swap(1, 2, false, 3, 4), ...unknown } as RegisterOperation;
    expect(faultsOf(write(1, 1, 2), swapped, read(1, 5, 6), read(2, 7, 8))).toBe(0);
  });

  it('a refused write that left no trace', () => {
    expect(faultsOf(write(1, 1, 2, { outcome: 'fail' }), read(undefined, 3, 4))).toBe(0);
  });

  it('swaps that happened and swaps that did not', () => {
    const history = [write(1, 1, 2), swap(1, 2, true, 3, 4), swap(1, 3, false, 5, 6)];
    expect(faultsOf(...history, read(2, 7, 8))).toBe(0);
  });

  it('many writes of unknown outcome without a long search', () => {
    const writes = Array.from({ length: 60 }, (_, at) => write(at, at, at + 1, unknown));
    const reads = Array.from({ length: 30 }, (_, at) => read(59 - at, 100 + 2 * at, 101 + 2 * at));
    expect(checkRegister([...writes, ...reads], { statesMax: 5_000 })).toEqual([]);
  });
});

describe('checkRegister finds', () => {
  it('a lost write', () => {
    expect(faultsOf(write(1, 1, 2), read(undefined, 3, 4))).toBe(1);
  });

  it('a stale read', () => {
    expect(faultsOf(write(1, 1, 2), write(2, 3, 4), read(1, 5, 6))).toBe(1);
  });

  it('a resurrected delete', () => {
    const deleted = [write(1, 1, 2), remove(3, 4), read(undefined, 5, 6)];
    expect(faultsOf(...deleted)).toBe(0);
    expect(faultsOf(...deleted, read(1, 7, 8))).toBe(1);
  });

  it('a write that was applied twice, by its effect and by what it says it found', () => {
    expect(
      faultsOf(write(1, 1, 10), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7), read(1, 11, 12)),
    ).toBe(1);
    expect(faultsOf(write(1, 1, 2, { existed: true }))).toBe(1);
    expect(faultsOf(write(1, 1, 2, { existed: false }), remove(3, 4, { existed: true }))).toBe(0);
    expect(faultsOf(write(1, 1, 2), remove(3, 4), remove(5, 6, { existed: true }))).toBe(1);
  });

  it('a refused write that happened', () => {
    expect(faultsOf(write(1, 1, 2, { outcome: 'fail' }), read(1, 3, 4))).toBe(1);
  });

  it('reads that see two writes in two orders, and an unknown one that comes and goes', () => {
    const writes = [write(1, 1, 10), write(2, 1, 10)];
    expect(faultsOf(...writes, read(1, 11, 12), read(2, 13, 14), read(1, 15, 16))).toBe(1);
    expect(faultsOf(write(1, 1, 2, unknown), read(1, 3, 4), read(undefined, 5, 6))).toBe(1);
  });

  it('values from nowhere and from the future', () => {
    expect(faultsOf(read(7, 1, 2))).toBe(1);
    expect(faultsOf(read(1, 1, 2), write(1, 3, 4))).toBe(1);
    expect(faultsOf(read(1, 1, 2), write(1, 3, 4, unknown))).toBe(1);
  });

  it('two swaps from one value', () => {
    expect(faultsOf(write(1, 1, 2), swap(1, 2, true, 3, 9), swap(1, 3, true, 3, 9))).toBe(1);
  });

  it('the faulty key among others, and says what does not fit', () => {
    const other = { ...write(5, 1, 2), key: 'other' };
    const [fault, ...rest] = checkRegister([other, write(1, 1, 2), read(9, 3, 4)]);
    expect(rest).toEqual([]);
    expect(fault).toMatchObject({ key: 'r', kind: 'not-linearizable' });
    expect(fault?.message).toContain('1 of 2 operations have an order that leaves 1');
    expect(fault?.message).toContain('c read 9 [3, 4]');
  });
});

describe('checkRegister', () => {
  it('refuses to decide what takes too long', () => {
    const writes = Array.from({ length: 12 }, (_, at) => write(at, 0, 100));
    const history = [...writes, read(99, 1, 2)];
    expect(() => checkRegister(history, { statesMax: 50 })).toThrow(/not decided/);
  });

  it('agrees with a search of all orders on every tiny history', () => {
    fc.assert(
      fc.property(fc.array(tinyOperation, { maxLength: 6 }), (history) => {
        expect(checkRegister(history).length === 0).toBe(hasOrder(history));
      }),
      { numRuns: 5_000 },
    );
  });
});

const tinyValue = fc.integer({ min: 1, max: 2 });
const tinyState = fc.option(tinyValue, { nil: undefined });
const tinyExisted = fc.option(fc.boolean(), { nil: undefined });
const tinyTimes = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 5 }))
  .map(([start, length]) => ({ start, end: start + length }));
const tinyOperation: fc.Arbitrary<RegisterOperation> = fc
  .tuple(
    fc.oneof(
      fc.record({ op: fc.constant('read' as const), value: tinyState }),
      fc.record({ op: fc.constant('write' as const), value: tinyValue, existed: tinyExisted }),
      fc.record({ op: fc.constant('delete' as const), existed: tinyExisted }),
      fc.record({
        op: fc.constant('cas' as const),
        expected: tinyState,
        value: tinyValue,
        swapped: fc.boolean(),
      }),
    ),
    tinyTimes,
    fc.oneof(
      { weight: 4, arbitrary: fc.constant('ok' as const) },
      fc.constantFrom('unknown' as const, 'fail' as const),
    ),
  )
  .map(([what, times, outcome]) => ({ ...what, ...call({ ...times, outcome }) }));

/** The definition itself: some choice of unknown operations and some order of all satisfies it. */
function hasOrder(history: readonly RegisterOperation[]): boolean {
  return canOrder(
    history.filter(({ outcome }) => outcome !== 'fail'),
    undefined,
  );
}

function canOrder(left: readonly RegisterOperation[], state: Value | undefined): boolean {
  if (left.every(({ outcome }) => outcome === 'unknown')) return true;
  return left.some((next) => {
    const others = left.filter((one) => one !== next);
    const mayBeNext = others.every(
      ({ outcome, end }) => outcome === 'unknown' || end >= next.start,
    );
    return mayBeNext && isTrueOf(next, state) && canOrder(others, stateAfter(next, state));
  });
}

/** Of an unknown operation nobody was told anything: what it says is no evidence. */
function isTrueOf(operation: RegisterOperation, state: Value | undefined): boolean {
  if (operation.outcome === 'unknown' && operation.op === 'cas') return true;
  if (operation.op === 'read') return operation.outcome === 'unknown' || operation.value === state;
  if (operation.op === 'cas') return operation.swapped === (operation.expected === state);
  return (operation.existed ?? state !== undefined) === (state !== undefined);
}

function stateAfter(operation: RegisterOperation, state: Value | undefined): Value | undefined {
  if (operation.op === 'read') return state;
  if (operation.op === 'delete') return undefined;
  if (operation.op === 'cas' && operation.expected !== state) return state;
  return operation.value;
}
