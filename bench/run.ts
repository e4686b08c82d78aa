/**
 * Runs one benchmark and keeps its result: `npm run bench -- NAME [--quick] [--json]`. Started in
 * the root of the repository, on compiled code.
 */
import { argv } from 'node:process';
import { parseArgs } from 'node:util';
import { tablesOf } from './harness/measurement-tables.js';
import { appendResult, beginRun, describeResult } from './harness/results.js';
import type { Scenario } from './harness/scenario.js';
import { cluster } from './scenarios/cluster.js';
import { consensus } from './scenarios/consensus.js';
import { engine } from './scenarios/engine.js';
import { failoverVirtual } from './scenarios/failover-virtual.js';
import { micro } from './scenarios/micro.js';
import { router } from './scenarios/router.js';
import { snapshot } from './scenarios/snapshot.js';
import { unaryCeiling } from './scenarios/unary-ceiling.js';

const SCENARIOS: readonly Scenario[] = [
  cluster,
  unaryCeiling,
  engine,
  router,
  consensus,
  snapshot,
  failoverVirtual,
  micro,
];

const USAGE = `Usage: npm run bench -- NAME [--quick] [--json] [--profile DIRECTORY]

${SCENARIOS.map(({ name, description }) => `  ${name.padEnd(14)} ${description}`).join('\n')}

  --quick        small data, short slices; the result is shown and not kept
  --json         prints the result as one JSON line instead of a table
  --profile DIR  writes CPU profiles into DIR and shows what they say, where the scenario can
`;

/** Throws a TypeError on options that there are none of. */
function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  });
}

function usageError(message: string): number {
  process.stderr.write(`${message}\n\n${USAGE}`);
  return 2;
}

/** Returns the exit code: 2 for a command line that it does not understand. */
async function main(args: readonly string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return usageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  const [name, ...others] = positionals;
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario === undefined || others.length > 0) {
    return usageError('Which benchmark?');
  }
  const { quick, profile, json } = values;
  // A profiled run is no measure of speed: its results are kept apart.
  const run = beginRun(profile === undefined ? scenario.name : `${scenario.name}-profile`, quick);
  const startMs = performance.now();
  const measurement = await scenario.run({
    quick,
    profileDirectory: profile,
    progress: (line) => {
      const seconds = ((performance.now() - startMs) / 1_000).toFixed(0).padStart(4);
      process.stderr.write(`${seconds} s  ${line}\n`);
    },
  });
  const result = describeResult(run, measurement);
  if (!quick) appendResult(result);
  const tables = tablesOf(result);
  const text = tables.length > 0 ? tables.join('\n\n') : (result.lines ?? []).join('\n');
  process.stdout.write(`${json ? JSON.stringify(result) : text}\n`);
  return 0;
}

process.exitCode = await main(argv.slice(2));
