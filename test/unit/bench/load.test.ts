// Goal: loads take turns fairly, keep their number of calls in flight, and hide no failure.
// Method: loads that record who is called when; slices of one millisecond, no figure is compared.
import { describe, expect, it } from 'vitest';
import { type Load, runInTurns } from '../../../bench/harness/load.js';

const turns = { slices: 3, sliceMs: 1, warmUpSlices: 0 };
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A load that notes its name once for each slice: the calls of a slice follow one another. */
function noting(name: string, order: string[]): Load {
  const call = (): void => {
    if (order.at(-1) !== name) order.push(name);
  };
  return { name, inflight: 1, call };
}

describe('loads in turns', () => {
  it('go first in turn', async () => {
    const order: string[] = [];
    await runInTurns([noting('a', order), noting('b', order), noting('c', order)], turns);
    expect(order).toEqual(['a', 'b', 'c', 'b', 'c', 'a', 'c', 'a', 'b']);
  });

  it('keep as many calls in flight as they say, and number them from 0', async () => {
    const sequences: number[] = [];
    let inflight = 0;
    let inflightMax = 0;
    const call = async (sequence: number): Promise<void> => {
      sequences.push(sequence);
      inflightMax = Math.max(inflightMax, ++inflight);
      await nextTurn();
      inflight--;
    };
    await runInTurns([{ name: 'a', inflight: 5, call }], turns);
    expect(inflightMax).toBe(5);
    expect(inflight).toBe(0);
    expect(sequences).toEqual(sequences.map((_, at) => at));
  });

  it('call at least once a caller and slice, however short the slice', async () => {
    let calls = 0;
    const call = (): number => calls++;
    await runInTurns([{ name: 'a', inflight: 4, call }], { ...turns, sliceMs: 0 });
    expect(calls).toBe(3 * 4);
  });

  it('make one figure each, with a ratio where one is asked for', async () => {
    const call = nextTurn;
    const figures = await runInTurns(
      [
        { name: 'a', inflight: 1, call, ratiosOf: ['b'] },
        { name: 'b', inflight: 1, call },
      ],
      turns,
    );
    expect(figures.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(figures[0]?.ratios?.map(({ of }) => of)).toEqual(['b']);
    expect(figures[1]?.ratios).toBeUndefined();
    for (const { perSecond, latencyMs } of figures) {
      expect(perSecond).toBeGreaterThan(0);
      expect(latencyMs?.p99).toBeGreaterThanOrEqual(latencyMs?.p50 ?? Number.NaN);
    }
  });

  it('fail with the first call that fails', async () => {
    const call = async (sequence: number): Promise<void> => {
      if (sequence === 7) throw new Error('call 7 failed');
    };
    const loads = [{ name: 'a', inflight: 2, call }];
    await expect(runInTurns(loads, { ...turns, sliceMs: 1_000 })).rejects.toThrow('call 7');
  });

  it('refuse a ratio of a load that is not there', async () => {
    const loads = [{ name: 'a', inflight: 1, call: nextTurn, ratiosOf: ['z'] }];
    await expect(runInTurns(loads, turns)).rejects.toThrow('a has no load z beside it');
  });
});
