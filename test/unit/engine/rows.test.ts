// Goal: the tables that everything in memory is keyed by keep what was put into them, densely.
// Method: random operations against plain maps and lists.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { meterTo } from '../../../src/engine/index/meter.js';
import { NONE, RowColumn } from '../../../src/engine/row-column.js';
import { RowQueue } from '../../../src/engine/row-queue.js';
import { RowTable } from '../../../src/engine/rows.js';
import { VectorArena } from '../../../src/engine/vector-arena.js';
import { InvariantError } from '../../../src/shared/assert.js';

const names = fc.constantFrom(...Array.from({ length: 12 }, (_, at) => `name ${at}`));
const puts = fc.array(fc.record({ name: names, isPut: fc.boolean() }), { maxLength: 200 });

describe('RowTable', () => {
  it('gives each record a row of its own, and uses the rows of removed ones again', () => {
    fc.assert(
      fc.property(puts, (steps) => {
        const table = new RowTable();
        const model = new Map<string, { row: number; version: bigint }>();
        for (const [at, { name, isPut }] of steps.entries()) {
          const version = BigInt(at);
          const known = model.get(name);
          if (isPut) {
            const { row, existed } = table.put(name, version);
            expect(existed).toBe(known !== undefined);
            if (known !== undefined) expect(row).toBe(known.row);
            model.set(name, { row, version });
          } else {
            expect(table.release(name)).toBe(known?.row);
            model.delete(name);
          }
          expect(table.size).toBe(model.size);
        }
        const rows = [...model.values()].map(({ row }) => row).sort((a, b) => a - b);
        expect(new Set(rows).size).toBe(rows.length);
        expect([...table.toArray()]).toEqual(rows);
        // Twelve names never need more rows than that.
        expect(table.limit).toBeLessThanOrEqual(12);
        for (const [name, { row, version }] of model) {
          expect([table.rowOf(name), table.hasRow(row)]).toEqual([row, true]);
          expect([table.nameOf(row), table.versionOf(row)]).toEqual([name, version]);
        }
      }),
    );
  });

  it('knows nothing of rows that are free', () => {
    const table = new RowTable();
    const { row } = table.put('a', 1n);
    table.release('a');
    expect([table.rowOf('a'), table.hasRow(row), table.hasRow(99)]).toEqual([
      undefined,
      false,
      false,
    ]);
    expect(() => table.nameOf(row)).toThrow(InvariantError);
  });

  it('gives out no row again that was released under a pin, until the pin ends (H4)', () => {
    const table = new RowTable();
    for (const name of ['a', 'b', 'c']) table.put(name, 1n);
    const unpinFirst = table.pin();
    const a = table.release('a');
    const unpinSecond = table.pin();
    const b = table.release('b');
    expect([a, b]).not.toContain(table.put('d', 2n).row);
    unpinFirst();
    // `b` went while the second pin was there, `a` before it.
    expect(table.put('e', 2n).row).toBe(a);
    expect(table.put('f', 2n).row).not.toBe(b);
    unpinSecond();
    unpinSecond();
    expect(table.put('g', 2n).row).toBe(b);
    expect(table.limit).toBe(5);
  });

  it('releases all when it is cleared', () => {
    const table = new RowTable();
    const { row } = table.put('a', 1n);
    table.clear();
    expect([table.size, table.hasRow(row), [...table.toArray()]]).toEqual([0, false, []]);
  });
});

describe('RowColumn', () => {
  it('holds nothing where nothing was set, however far it has grown', () => {
    const column = new RowColumn();
    expect(column.get(1_000_000)).toBe(NONE);
    column.set(1_000, 7);
    expect([column.get(999), column.get(1_000), column.get(1_001)]).toEqual([NONE, 7, NONE]);
    column.clear(1_000);
    column.clear(5_000_000);
    expect(column.get(1_000)).toBe(NONE);
    expect(column.memoryBytes).toBe(4 * 1_024);
  });
});

describe('RowQueue', () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.nat(300).map((row) => ({ kind: 'push' as const, row })) },
      { weight: 2, arbitrary: fc.nat(300).map((row) => ({ kind: 'remove' as const, row })) },
      { weight: 2, arbitrary: fc.constant({ kind: 'take' as const, row: 0 }) },
    ),
    { maxLength: 600, size: 'max' },
  );

  it('keeps the order of arrival, whoever leaves', () => {
    fc.assert(
      fc.property(steps, (operations) => {
        const queue = new RowQueue();
        let model: number[] = [];
        for (const { kind, row } of operations) {
          const first = model[0];
          expect(queue.first).toBe(first);
          const leaving = kind === 'take' ? first : row;
          if (kind === 'push') {
            if (model.includes(row)) expect(() => queue.push(row)).toThrow(InvariantError);
            else {
              queue.push(row);
              model.push(row);
            }
          } else if (leaving !== undefined) {
            expect(queue.remove(leaving)).toBe(model.includes(leaving));
            model = model.filter((one) => one !== leaving);
          }
          expect(queue.size).toBe(model.length);
        }
        expect([...queue.toArray()]).toEqual(model);
        for (const row of model) expect(queue.has(row)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('takes no more room than the longest queue needs', () => {
    const queue = new RowQueue();
    for (let row = 0; row < 50; row++) queue.push(row);
    for (let turn = 0; turn < 10_000; turn++) {
      const row = queue.first ?? 0;
      queue.remove(row);
      queue.push(row);
    }
    expect(queue.memoryBytes).toBeLessThanOrEqual(4 * (128 + 64));
  });
});

describe('VectorArena', () => {
  const vectorOf = (value: number, dimension: number): Float32Array =>
    new Float32Array(dimension).fill(value);

  it.each([1, 3, 40_000, 2 ** 18])('keeps the vectors of rows with %i floats', (dimension) => {
    const runs = dimension > 100 ? 10 : 100;
    fc.assert(
      fc.property(
        fc.array(fc.record({ row: fc.nat(40), isPut: fc.boolean() }), { maxLength: 120 }),
        (operations) => {
          const arena = new VectorArena(dimension);
          const meter = meterTo('l2', new Float32Array(dimension));
          const model = new Map<number, number>();
          for (const [at, { row, isPut }] of operations.entries()) {
            if (isPut) {
              arena.put(row, vectorOf(at, dimension));
              model.set(row, at);
            } else {
              arena.release(row);
              model.delete(row);
            }
          }
          for (let row = 0; row <= 40; row++) expect(arena.has(row)).toBe(model.has(row));
          for (const [row, value] of model) {
            const vector = arena.at(row);
            expect(vector.length).toBe(dimension);
            expect([vector[0], vector.at(-1)]).toEqual([value, value]);
            expect(arena.measure(row, meter)).toBe(value ** 2 * dimension);
          }
          const measured: [number, number][] = [];
          arena.measureEach(
            (visit) => [...model.keys()].forEach(visit),
            meter,
            (row, distance) => measured.push([row, distance]),
          );
          expect(measured).toEqual([...model].map(([row, value]) => [row, value ** 2 * dimension]));
        },
      ),
      { numRuns: runs },
    );
  });

  it('measures rows one after the other, however many there are', () => {
    const arena = new VectorArena(3);
    for (let row = 0; row < 1_000; row++) arena.put(row, vectorOf(row, 3));
    const meter = meterTo('l2', new Float32Array(3));
    for (const count of [0, 1, 2, 63, 64, 65, 127, 128, 129, 1_000]) {
      const rows = Array.from({ length: count }, (_, at) => (at * 7) % 1_000);
      const measured: [number, number][] = [];
      const take = (row: number, distance: number): number => measured.push([row, distance]);
      arena.measureEach((visit) => rows.forEach(visit), meter, take);
      expect(measured).toEqual(rows.map((row) => [row, 3 * row ** 2]));
    }
  });

  it('takes little for few vectors, whole blocks for many, and gives all of it back', () => {
    const arena = new VectorArena(128);
    arena.put(0, vectorOf(1, 128));
    expect(arena.memoryBytes).toBeLessThan(10_000);
    for (let row = 0; row < 5_000; row++) arena.put(row, vectorOf(row, 128));
    const fullBytes = arena.memoryBytes;
    expect(fullBytes).toBeLessThan(5_000 * 128 * 4 * 1.2);
    for (let row = 0; row < 5_000; row++) arena.release(row);
    expect(arena.memoryBytes).toBeLessThan(fullBytes / 20);
    arena.put(77, vectorOf(77, 128));
    expect(arena.at(77)[127]).toBe(77);
  });

  it('refuses a vector of another length', () => {
    expect(() => new VectorArena(3).put(0, vectorOf(1, 2))).toThrow(InvariantError);
  });
});
