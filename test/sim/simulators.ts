import type { CoreReport } from './core/core-run.js';
import { FAULTS } from './core/swarm.js';

/** What a run of any simulator says. */
export interface SimulatorReport {
  readonly seed: number;
  /** Events of the phase in which things go wrong, as asked for. */
  readonly steps: number;
  /** Events of the whole run. */
  readonly events: number;
  readonly virtualMs: number;
  /** Equal for equal runs. */
  readonly trace: string;
  readonly failure: { readonly invariant: string; readonly message: string } | undefined;
  /** How often what happened. */
  readonly seen: Readonly<Record<string, number>>;
  /** The faults that were left out, as the command line takes them. */
  readonly without: readonly string[];
  /** Everything else that helps, line by line. */
  readonly details: readonly string[];
}

export interface SimulatorOptions {
  readonly steps: number;
  readonly without: readonly string[];
}

/** One way to run the system from a seed. */
export interface Simulator {
  readonly name: SimulatorName;
  readonly stepsDefault: number;
  /** Whether something that `without` may hold is called so. */
  isFault(name: string): boolean;
  run(seed: number, options: SimulatorOptions): Promise<SimulatorReport>;
}

export const SIMULATOR_NAMES = ['core', 'full'] as const;
export type SimulatorName = (typeof SIMULATOR_NAMES)[number];

export function simulatorOf(name: SimulatorName): Simulator {
  return name === 'core' ? CORE : FULL;
}

const CORE: Simulator = {
  name: 'core',
  stepsDefault: 20_000,
  isFault: (name) => FAULTS.some((fault) => fault === name),
  run: async (seed, { steps, without }) => {
    // Loaded when it is used: the other simulator brings whole nodes along.
    const { runCore } = await import('./core/core-run.js');
    const report: CoreReport = runCore(seed, {
      steps,
      without: FAULTS.filter((fault) => without.includes(fault)),
    });
    return {
      seed,
      steps,
      events: report.steps,
      virtualMs: report.virtualMs,
      trace: report.trace,
      failure: report.failure,
      seen: { ...report.seen },
      without,
      details: report.failure === undefined ? [] : [`at step ${report.failure.step}`],
    };
  },
};

const FULL: Simulator = {
  name: 'full',
  stepsDefault: 5_000,
  // By their index in the report of the whole run.
  isFault: (name) => /^\d+$/.test(name),
  run: async (seed, { steps, without }) => {
    const [{ runStack }, { describeReport }] = await Promise.all([
      import('./stack/run-stack.js'),
      import('./stack/describe-report.js'),
    ]);
    const report = await runStack(seed, { steps, without: without.map(Number) });
    const { graphs, cache, partial, checks, renewing, expired, swept } = report;
    return {
      seed,
      steps,
      events: report.events,
      virtualMs: report.virtualMs,
      trace: report.traceHash,
      failure: report.finding,
      seen: {
        ...report.operations,
        expired,
        swept,
        checks,
        renewing,
        elections: report.elections,
        faults: report.faults.length,
        framesGivenBack: report.framesGivenBack,
        ...prefixed('tenants', { ...report.tenants }),
        ...prefixed('graphs', graphs),
        ...prefixed('cache', { ...cache }),
        ...prefixed('partial', { ...partial }),
        ...report.disks,
      },
      without,
      details: report.finding === undefined ? [] : describeReport(report, '').split('\n').slice(3),
    };
  },
};

function prefixed(
  prefix: string,
  counts: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts).map(([name, count]) => {
      return [`${prefix}${name.charAt(0).toUpperCase()}${name.slice(1)}`, count];
    }),
  );
}

/** Which faults could be left out of a run, as its simulator names them. */
export function removableFaults(name: SimulatorName, report: SimulatorReport): readonly string[] {
  if (name === 'core') return FAULTS;
  return Array.from({ length: report.seen.faults ?? 0 }, (_, index) => String(index)).reverse();
}
