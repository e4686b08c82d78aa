/** What is kept of a run of faults: docs/failure-modes.json. */
import type { Machine } from '../bench/harness/machine.js';
import type { Fault } from '../test/history/operation.js';
import { ALL_FAULT_KINDS } from '../test/support/faults/all-fault-kinds.js';
import type { CampaignReport } from '../test/support/faults/campaign.js';

/** Nearest rank. */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface FaultRow {
  readonly kind: string;
  readonly what: string;
  readonly count: number;
  /** Calls that ended between the beginning of a fault and the time when all was level again. */
  readonly ok: number;
  readonly failed: number;
  readonly unknown: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** Violations that can have come about in that time; one may count for several faults. */
  readonly lost: number;
  readonly stale: number;
  /** Until every shard had acknowledged a write that began after it (`goesOnFrom`). */
  readonly recoveryMs: Quantiles;
  /** From the cure until all replicas were level. */
  readonly levelMs: Quantiles;
}

/** One cluster, and what happened to it. */
export interface RunRow {
  readonly what: string;
  readonly nodes: number;
  readonly leases: boolean;
  readonly minutes: number;
  /** Faults that were caused. */
  readonly faults: number;
}

export interface DepartureRow {
  readonly what: string;
  readonly leases: boolean;
  readonly count: number;
  readonly gapMs: Quantiles;
}

/** When and where a part of the result was measured. */
export interface Occasion {
  readonly commit: string;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
}

/** The parts are measured apart: only departures ask for a machine that does nothing else. */
export interface Result {
  readonly campaign: CampaignResult;
  readonly departures: DeparturesResult;
}

export interface DeparturesResult extends Occasion {
  readonly rows: readonly DepartureRow[];
}

export interface CampaignResult extends Occasion {
  readonly seed: number;
  readonly minutes: number;
  readonly shards: number;
  readonly workers: number;
  /** What the minutes were spent on; each has a cluster of its own. */
  readonly runs: readonly RunRow[];
  readonly operations: { readonly ok: number; readonly failed: number; readonly unknown: number };
  /** Lost, repeated, resurrected or foreign records. */
  readonly lost: number;
  /** Registers that are not linearizable, and lists and sets whose reads go back in time. */
  readonly stale: number;
  readonly violations: readonly string[];
  readonly replicasEqual: boolean;
  readonly faults: readonly FaultRow[];
}

/** The campaigns' figures together; each kind of fault is a row. */
export function summarize(
  reports: readonly CampaignReport[],
): Pick<
  CampaignResult,
  'operations' | 'lost' | 'stale' | 'violations' | 'replicasEqual' | 'faults'
> {
  const violations = reports.flatMap((report) => report.violations);
  const sum = (field: 'ok' | 'failed' | 'unknown'): number =>
    reports.reduce((total, { totals }) => total + totals[field], 0);
  return {
    operations: { ok: sum('ok'), failed: sum('failed'), unknown: sum('unknown') },
    lost: violations.filter((one) => !isStale(one)).length,
    stale: violations.filter(isStale).length,
    violations: violations.map(({ key, kind, message }) => `${key}: ${kind}: ${message}`),
    replicasEqual: reports.every(({ digests }) =>
      [...digests.values()].every((byNode) => new Set(byNode.values()).size === 1),
    ),
    faults: ALL_FAULT_KINDS.flatMap(({ name }) => rowOf(name, reports)),
  };
}

function isStale({ kind }: Fault): boolean {
  return kind === 'not-linearizable' || kind === 'order';
}

export function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

function rowOf(name: string, reports: readonly CampaignReport[]): FaultRow[] {
  const cases = reports.flatMap((report) =>
    report.records.filter(({ kind }) => kind === name).map((record) => ({ report, record })),
  );
  const kind = ALL_FAULT_KINDS.find((one) => one.name === name);
  if (cases.length === 0 || kind === undefined) return [];
  const total = { ok: 0, failed: 0, unknown: 0 };
  const reasons: Record<string, number> = {};
  for (const { report, record } of cases) {
    const counts = report.journal.counts(record.beginMs, record.levelMs);
    total.ok += counts.ok;
    total.failed += counts.failed;
    total.unknown += counts.unknown;
    for (const [reason, count] of Object.entries(counts.reasons)) {
      reasons[reason] = (reasons[reason] ?? 0) + count;
    }
  }
  const violations = cases.flatMap(({ report, record: { beginMs, levelMs } }) =>
    report.violations.filter(({ from, until }) => from < levelMs && until >= beginMs),
  );
  const recoveries = cases.flatMap(({ report, record }) => {
    const fromMs = kind.goesOnFrom === 'cure' ? record.cureMs : record.beginMs;
    const firsts = Array.from({ length: report.shards }, (_, shardId) =>
      report.journal.firstWriteAfter(fromMs, shardId),
    );
    return firsts.map((endMs) => (endMs ?? Number.POSITIVE_INFINITY) - fromMs);
  });
  return [
    {
      kind: name,
      what: kind.what,
      count: cases.length,
      ...total,
      reasons,
      lost: violations.filter((one) => !isStale(one)).length,
      stale: violations.filter(isStale).length,
      recoveryMs: quantilesOf(recoveries),
      levelMs: quantilesOf(cases.map(({ record }) => record.levelMs - record.cureMs)),
    },
  ];
}
