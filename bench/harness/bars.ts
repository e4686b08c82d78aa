/** Bars: measured values held against what the design asks for. */
import type { Bar, Quantity } from './scenario.js';

export function atLeast(measured: Quantity, least: number): Bar {
  const bound = { kind: 'at least', value: least } as const;
  return { ...measured, bound, isMet: measured.value >= least };
}

export function atMost(measured: Quantity, most: number): Bar {
  const bound = { kind: 'at most', value: most } as const;
  return { ...measured, bound, isMet: measured.value <= most };
}
