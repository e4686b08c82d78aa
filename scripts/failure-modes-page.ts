/** The tables of docs/failure-modes.md, drawn from the result of a recorded run. */
import { readFileSync } from 'node:fs';
import { padTable } from '../bench/harness/pad-table.js';
import type {
  CampaignResult,
  DeparturesResult,
  Occasion,
  Quantiles,
  Result,
} from './failure-modes-result.js';

/** Scripts and tests are started in the root of the repository. */
export const PAGE = 'docs/failure-modes.md';
export const RESULT = 'docs/failure-modes.json';

const BEGIN = '<!-- Drawn by `npm run docs` from failure-modes.json. -->';
const END = '<!-- End of what is drawn. -->';

/** The page with its tables as the kept result says. Throws where it has no place for them. */
export function drawFailureModes(): string {
  const page = readFileSync(PAGE, 'utf8');
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`${PAGE} has no place for the tables`);
  return `${page.slice(0, from)}${BEGIN}\n\n${tablesOf(keptResult())}\n\n${page.slice(to)}`;
}

export function keptResult(): Result {
  return JSON.parse(readFileSync(RESULT, 'utf8')) as Result;
}

function tablesOf({ campaign, departures }: Result): string {
  return [
    circumstancesOf(campaign),
    runTable(campaign),
    faultTable(campaign),
    `Departures, one at a time: ${occasionOf(departures)}.`,
    departureTable(departures),
  ].join('\n\n');
}

function occasionOf({ commit, date, machine }: Occasion): string {
  const { cores, cpu, node } = machine;
  return `${date.slice(0, 10)}, commit \`${commit}\`, ${cores} cores (${cpu}), Node ${node}`;
}

function circumstancesOf(result: CampaignResult): string {
  const { seed, minutes, shards, workers, operations, replicasEqual } = result;
  const { ok, failed, unknown } = operations;
  const total = ok + failed + unknown;
  return [
    `${occasionOf(result)}:`,
    `${shards} shards, replication factor 3, ${workers} clients, ${minutes} minutes of faults,`,
    `seed ${seed}. ${total.toLocaleString('en-US')} calls:`,
    `${ok.toLocaleString('en-US')} succeeded, ${failed} failed, ${unknown} of unknown outcome.`,
    `**Acknowledged writes lost, repeated or brought back: ${result.lost}. Stale or reordered`,
    `reads: ${result.stale}.** Replicas at the end: ${replicasEqual ? 'equal' : 'NOT EQUAL'}.`,
  ].join('\n');
}

function runTable({ runs }: CampaignResult): string {
  const titles = ['cluster', 'nodes', 'leases', 'minutes', 'faults'];
  const ruler = ['---', '---:', '---', '---:', '---:'];
  const rows = runs.map(({ what, nodes, leases, minutes, faults }) => [
    what,
    `${nodes}`,
    onOrOff(leases),
    `${minutes}`,
    `${faults}`,
  ]);
  return tableOf(titles, ruler, rows);
}

function faultTable({ faults }: CampaignResult): string {
  const titles = ['fault', 'times', 'calls', 'failed', 'unknown', 'errors', 'lost', 'stale'];
  const times = ['writes again after p50', 'p99', 'max', 'all level after p50'];
  const ruler = ['---', ...Array(4).fill('---:'), '---', ...Array(6).fill('---:')];
  const rows = faults.map((fault) => [
    `\`${fault.kind}\``,
    `${fault.count}`,
    `${fault.ok + fault.failed + fault.unknown}`,
    `${fault.failed}`,
    `${fault.unknown}`,
    reasonsOf(fault.reasons),
    `${fault.lost}`,
    `${fault.stale}`,
    ...secondsOf(fault.recoveryMs),
    seconds(fault.levelMs.p50),
  ]);
  return tableOf([...titles, ...times], ruler, rows);
}

function departureTable({ rows: departures }: DeparturesResult): string {
  const titles = ['the leader of a shard', 'leases', 'times', 'without a write p50', 'p99', 'max'];
  const ruler = ['---', '---', '---:', '---:', '---:', '---:'];
  const rows = departures.map(({ what, leases, count, gapMs }) => [
    what,
    onOrOff(leases),
    `${count}`,
    ...secondsOf(gapMs),
  ]);
  return tableOf(titles, ruler, rows);
}

function tableOf(
  titles: readonly string[],
  ruler: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  return padTable([titles, ruler, ...rows].map((cells) => `| ${cells.join(' | ')} |`));
}

function onOrOff(isOn: boolean): string {
  return isOn ? 'on' : 'off';
}

function reasonsOf(reasons: Readonly<Record<string, number>>): string {
  const named = Object.entries(reasons).map(([reason, count]) => `${reason} ${count}`);
  return named.length === 0 ? 'none' : named.join(', ');
}

function secondsOf({ p50, p99, max }: Quantiles): string[] {
  return [p50, p99, max].map(seconds);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}
