/**
 * Draws the newest results into README.md and bench/README.md, or says what is not up to date
 * (`--check`): no number in these pages is typed by hand.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { argv } from 'node:process';
import { tablesOf } from './harness/measurement-tables.js';
import { padTable } from './harness/pad-table.js';
import { replaceRegion } from './harness/region.js';
import { type BenchResult, newestResult } from './harness/results.js';

interface Region {
  /** Relative to the root of the repository, where this is started. */
  readonly path: string;
  /** Stands between `<!-- NAME:start -->` and `<!-- NAME:end -->`. */
  readonly name: string;
  readonly draw: () => string;
}

const REGIONS: readonly Region[] = [
  {
    path: 'README.md',
    name: 'bench',
    draw: () => ['cluster', 'unary-ceiling'].map(drawScenario).join('\n\n'),
  },
  { path: 'bench/README.md', name: 'router', draw: () => drawScenario('router') },
  { path: 'bench/README.md', name: 'engine', draw: () => drawScenario('engine') },
  {
    path: 'bench/README.md',
    name: 'consensus',
    draw: () => ['consensus', 'failover-virtual', 'snapshot'].map(drawScenario).join('\n\n'),
  },
  { path: 'bench/README.md', name: 'profile', draw: () => drawScenario('unary-ceiling-profile') },
];

/** The command, the table, and what it was measured on. */
function drawScenario(scenario: string): string {
  const result = newestResult(scenario);
  const command = `npm run bench -- ${scenario.replace('-profile', ' --profile profiles')}`;
  if (result === undefined) return `\`${command}\` has no result yet.`;
  return `\`${command}\`:\n\n${drawFindings(result)}\n\n${circumstances(result)}`;
}

/** The tables of the figures; else the scenario's own lines: rows of one already, or a list. */
function drawFindings(result: BenchResult): string {
  const tables = tablesOf(result).map((table) => table.split('\n'));
  if (tables.length > 0) return tables.map(padTable).join('\n\n');
  const { lines = [] } = result;
  if (lines.every((line) => line.startsWith('|'))) return padTable(lines);
  return lines.map((line) => `- ${line}`).join('\n');
}

function circumstances({ machine, parameters, commit, date, loadBefore }: BenchResult): string {
  const settings = Object.entries(parameters).map(([name, value]) => `${name} ${value}`);
  return (
    `${machine.cpu}, ${machine.cores} cores that client and nodes share, Node ${machine.node}, ` +
    `commit ${commit}, ${date.slice(0, 10)}, load average ${loadBefore} at the start; ` +
    `${settings.join(', ')}.`
  );
}

/** Returns the exit code: 1 where `check` finds a page that is not up to date. */
function main(check: boolean): number {
  let exitCode = 0;
  for (const { path, name, draw } of REGIONS) {
    const file = resolve(path);
    const before = readFileSync(file, 'utf8');
    const after = replaceRegion(before, name, draw());
    if (after === before) continue;
    if (check) {
      process.stderr.write(`${path} is not up to date: run npm run bench:report\n`);
      exitCode = 1;
    } else {
      writeFileSync(file, after);
      process.stdout.write(`wrote ${path}\n`);
    }
  }
  return exitCode;
}

process.exitCode = main(argv.includes('--check'));
