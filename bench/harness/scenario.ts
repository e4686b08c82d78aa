/** What a benchmark is, and what it answers. */

/** Milliseconds of single calls, from the moment of sending to the answer. */
export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

/** One measured thing. What was not measured is absent. */
export interface Figure {
  /** Unique within the scenario; rows of the report are found by it. */
  readonly name: string;
  /** Median over the slices. */
  readonly perSecond?: number;
  /** Over the calls of all slices. */
  readonly latencyMs?: Quantiles;
  /** CPU microseconds that a call costs all processes together. Noise hardly changes it. */
  readonly cpuUsPerCall?: number;
  /** Share of the true nearest 10 that was found. */
  readonly recall?: number;
  /** Medians, over pairs of neighbouring slices, of this figure's rate by that of another. */
  readonly ratios?: readonly { readonly of: string; readonly value: number }[];
}

/** What was measured that is neither a rate nor a latency. */
export interface Quantity {
  readonly name: string;
  readonly value: number;
  /** Empty for a plain number. */
  readonly unit: string;
}

/** What the design asks for. Machines differ: one that is not met fails nothing. */
export interface Bar extends Quantity {
  readonly bound: { readonly kind: 'at least' | 'at most'; readonly value: number };
  readonly isMet: boolean;
}

export type Parameters = Readonly<Record<string, string | number | boolean>>;

export interface Measurement {
  readonly parameters: Parameters;
  readonly figures: readonly Figure[];
  readonly quantities?: readonly Quantity[];
  readonly bars?: readonly Bar[];
  /** Lines of a program that reports in a form of its own. */
  readonly lines?: readonly string[];
}

export interface BenchContext {
  /** Small data and short slices: shows that it runs, not how fast. */
  readonly quick: boolean;
  /** Writes CPU profiles into this folder; figures are then lower. Scenarios may ignore it. */
  readonly profileDirectory: string | undefined;
  /** Tells a person what goes on. */
  readonly progress: (line: string) => void;
}

export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly run: (context: BenchContext) => Promise<Measurement>;
}
