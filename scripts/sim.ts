/**
 * Runs the deterministic simulators: `npm run sim -- --seed N --seeds K --steps S`.
 *
 * Ends with 1 when a run broke an invariant. The first failure is shrunk and printed with the
 * command that shows it again; with `--all` every seed is run and failures are only counted.
 */
import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { shrink } from '../test/sim/shrink.js';
import {
  SIMULATOR_NAMES,
  type Simulator,
  type SimulatorName,
  type SimulatorReport,
  simulatorOf,
} from '../test/sim/simulators.js';

const HELP = `usage: npm run sim -- [options]

  --seed N         the first seed (default 1)
  --seeds K        how many seeds, one after the other (default 1)
  --steps S        events in which things go wrong (default: core 20000, full 5000)
  --stack NAME     core: the consensus core alone; full: whole nodes (default core)
  --without A,B    leave faults out
  --all            go on after a failure
  --no-shrink      print the failure as it was found
  --json           one JSON object instead of text
  --help

examples
  npm run sim -- --seed 17
  npm run sim -- --seeds 200 --steps 20000
  npm run sim -- --stack full --seeds 50 --json`;

export interface Summary {
  readonly simulator: SimulatorName;
  readonly commit: string;
  readonly firstSeed: number;
  readonly seeds: number;
  readonly steps: number;
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly virtualSeconds: number;
  readonly seen: Readonly<Record<string, number>>;
  readonly failures: readonly SimulatorReport[];
}

interface SimArguments {
  readonly simulator: Simulator;
  readonly seed: number;
  readonly seeds: number;
  readonly steps: number;
  readonly without: readonly string[];
  readonly isAll: boolean;
  readonly shrinks: boolean;
  readonly isJson: boolean;
}

/** Undefined when help was asked for. Throws for what it does not understand. */
function parseSimArguments(args: readonly string[]): SimArguments | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      steps: { type: 'string' },
      stack: { type: 'string' },
      without: { type: 'string' },
      all: { type: 'boolean' },
      'no-shrink': { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return undefined;
  const name = SIMULATOR_NAMES.find((each) => each === (values.stack ?? 'core'));
  if (name === undefined) throw new RangeError(`--stack is core or full, not ${values.stack}`);
  const simulator = simulatorOf(name);
  const without = (values.without ?? '').split(',').filter((fault) => fault !== '');
  const stranger = without.find((fault) => !simulator.isFault(fault));
  if (stranger !== undefined) throw new RangeError(`--without: there is no fault "${stranger}"`);
  return {
    simulator,
    seed: integerOf('seed', values.seed, 1),
    seeds: integerOf('seeds', values.seeds, 1),
    steps: integerOf('steps', values.steps, simulator.stepsDefault),
    without,
    isAll: values.all === true,
    shrinks: values['no-shrink'] !== true,
    isJson: values.json === true,
  };
}

function integerOf(name: string, text: string | undefined, byDefault: number): number {
  const value = text === undefined ? byDefault : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`--${name} takes a whole number, not "${text}"`);
}

async function runSeeds(options: SimArguments): Promise<Summary> {
  const { simulator, seed, seeds, steps, without, isAll, shrinks } = options;
  const startMs = performance.now();
  const seen: Record<string, number> = {};
  const failures: SimulatorReport[] = [];
  let events = 0;
  let virtualMs = 0;
  let done = 0;
  for (let current = seed; current < seed + seeds; current += 1) {
    const report = await simulator.run(current, { steps, without });
    done += 1;
    events += report.events;
    virtualMs += report.virtualMs;
    for (const [name, count] of Object.entries(report.seen)) {
      seen[name] = (seen[name] ?? 0) + count;
    }
    if (report.failure === undefined) continue;
    failures.push(report);
    if (!isAll) break;
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const first = failures[0];
  if (first !== undefined && shrinks) failures[0] = await shrink(simulator, first);
  return {
    simulator: simulator.name,
    commit: currentCommit(),
    firstSeed: seed,
    seeds: done,
    steps,
    events,
    eventsPerSecond: Math.round(events / seconds),
    virtualSeconds: Math.round(virtualMs / 1_000),
    seen,
    failures,
  };
}

function currentCommit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

function describe(summary: Summary): string {
  const { simulator, commit, firstSeed, seeds, steps, failures } = summary;
  const counts = Object.entries(summary.seen).map(([name, count]) => `${name} ${count}`);
  const lines = [
    `${simulator}: ${seeds} seeds from ${firstSeed}, ${steps} steps each: ` +
      `${failures.length === 0 ? 'all promises held' : `${failures.length} failed`}`,
    `commit ${commit}, ${summary.events} events (${summary.eventsPerSecond} a second), ` +
      `${summary.virtualSeconds} virtual seconds`,
    counts.join(', '),
  ];
  for (const report of failures) lines.push('', ...describeFailure(simulator, commit, report));
  return lines.join('\n');
}

function describeFailure(name: SimulatorName, commit: string, report: SimulatorReport): string[] {
  const { seed, steps, failure, without, details } = report;
  const left = without.length === 0 ? '' : ` --without ${without.join(',')}`;
  return [
    failure?.message ?? '',
    `seed=${seed} commit=${commit} trace=${report.trace}`,
    `npm run sim -- --stack ${name} --seed ${seed} --steps ${steps}${left} --no-shrink`,
    ...details,
  ];
}

/** Carries out a command line without the program's name. Returns the exit code. */
export async function main(
  words: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  let options: SimArguments | undefined;
  try {
    options = parseSimArguments(words);
  } catch (error) {
    print(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}\n`);
    return 2;
  }
  if (options === undefined) {
    print(`${HELP}\n`);
    return 0;
  }
  const summary = await runSeeds(options);
  print(`${options.isJson ? JSON.stringify(summary) : describe(summary)}\n`);
  return summary.failures.length === 0 ? 0 : 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2), (text) => process.stdout.write(text));
}
