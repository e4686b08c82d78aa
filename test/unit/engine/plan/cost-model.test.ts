// Goal: costs grow with what they are for, and a machine is measured without harm.
// Method: the model at some shapes; calibration with clocks that stand, run and jump.
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../../src/engine/index/hnsw-index.js';
import {
  CostModel,
  type CostShape,
  calibrate,
  DEFAULT_FACTORS,
} from '../../../../src/engine/plan/cost-model.js';

const SHAPE: CostShape = { records: 100_000, dimension: 128, ef: 64, exactCopy: true };
const costs = new CostModel();

describe('the cost model', () => {
  it('has the graph visit more points the fewer match, up to all of them', () => {
    expect(costs.visits(SHAPE, 100_000)).toBeLessThan(costs.visits(SHAPE, 50_000));
    expect(costs.visits(SHAPE, 1)).toBe(SHAPE.records);
    expect(costs.visits(SHAPE, 0)).toBe(SHAPE.records);
  });

  it('charges for dimensions, for memory that is not cached, and for reads', () => {
    const wide = { ...SHAPE, dimension: 768 };
    const small = { ...SHAPE, records: 1_000 };
    const stored = { ...SHAPE, exactCopy: false };
    expect(costs.rowUs(wide)).toBeGreaterThan(2 * costs.rowUs(SHAPE));
    expect(costs.visitUs(small)).toBeLessThan(costs.visitUs(SHAPE));
    expect(costs.rowUs(stored)).toBeGreaterThan(10 * costs.rowUs(SHAPE));
  });

  it('follows the machine that was measured', () => {
    const slow = new CostModel({ distance: 4, visit: 2 });
    expect(slow.rowUs(SHAPE)).toBe(4 * costs.rowUs(SHAPE));
    expect(slow.visitUs(SHAPE)).toBe(2 * costs.visitUs(SHAPE));
  });
});

describe('calibration', () => {
  const createFlat = (options: ConstructorParameters<typeof FlatIndex>[0]): FlatIndex =>
    new FlatIndex(options);

  it('keeps the defaults, and makes no index, where the clock stands still (Q3)', () => {
    let made = 0;
    const measured = calibrate({ monotonicMs: () => 7 }, (options) => {
      made++;
      return createFlat(options);
    });
    expect(measured.factors).toEqual(DEFAULT_FACTORS);
    expect(made).toBe(0);
  });

  it('calls a machine slower whose clock runs further meanwhile', () => {
    const machine = (stepMs: number): CostModel => {
      let nowMs = 0;
      const monotonicMs = (): number => {
        nowMs += stepMs;
        return nowMs;
      };
      return calibrate({ monotonicMs }, createFlat);
    };
    const [quick, slow] = [machine(0.02), machine(0.04)];
    expect(slow.factors.distance).toBeGreaterThan(quick.factors.distance);
    expect(slow.factors.visit).toBeGreaterThan(quick.factors.visit);
  });

  it('believes no factor that is out of all proportion', () => {
    let nowMs = 0;
    const monotonicMs = (): number => {
      nowMs += 60_000;
      return nowMs;
    };
    const { factors } = calibrate({ monotonicMs }, (options) => new HnswIndex(options));
    expect(factors.distance).toBeLessThanOrEqual(8);
    expect(factors.visit).toBeLessThanOrEqual(8);
  });
});
