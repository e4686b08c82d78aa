/** What the parts of the engine's benchmark have in common. */
import type { Turns } from '../harness/load.js';
import type { Bar, Figure, Quantity } from '../harness/scenario.js';

export const GRAPH = { m: 16, efConstruction: 200 };
/** Calls that wait for the thread at once, where rates are measured. */
export const INFLIGHT = 16;

export interface Findings {
  readonly figures: readonly Figure[];
  readonly quantities: readonly Quantity[];
  readonly bars: readonly Bar[];
}

/** How long the parts measure. */
export interface Effort {
  readonly turns: Turns;
  /** Of searches with writes beside them and without. */
  readonly pairs: number;
  readonly pairMs: number;
  /** Runs of what is not measured in turns. */
  readonly runs: number;
}

export const QUICK_EFFORT: Effort = {
  turns: { slices: 2, sliceMs: 20 },
  pairs: 2,
  pairMs: 50,
  runs: 1,
};

export const FULL_EFFORT: Effort = {
  turns: { slices: 7, sliceMs: 700, warmUpSlices: 2 },
  pairs: 9,
  pairMs: 3_000,
  runs: 3,
};

export function joined(parts: readonly Partial<Findings>[]): Findings {
  return {
    figures: parts.flatMap(({ figures = [] }) => figures),
    quantities: parts.flatMap(({ quantities = [] }) => quantities),
    bars: parts.flatMap(({ bars = [] }) => bars),
  };
}
