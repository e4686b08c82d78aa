/** The kept results: one file a scenario, one JSON line a run, the newest last. */
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describeCommit, describeMachine, loadAverage, type Machine } from './machine.js';
import type { Measurement } from './scenario.js';

export interface BenchResult extends Measurement {
  readonly scenario: string;
  readonly commit: string;
  /** ISO 8601, the end of the run. */
  readonly date: string;
  readonly quick: boolean;
  readonly machine: Machine;
  /** Load average of the machine as the run began: what else it was busy with. */
  readonly loadBefore: number;
}

/** Benches are started in the root of the repository. */
export const RESULTS_DIRECTORY = resolve('bench/results');

/** What `describeResult` needs to know of a run. */
export interface Run {
  readonly scenario: string;
  readonly quick: boolean;
  readonly loadBefore: number;
}

/** To be called before the run. */
export function beginRun(scenario: string, quick: boolean): Run {
  return { scenario, quick, loadBefore: loadAverage() };
}

export function describeResult(run: Run, measurement: Measurement): BenchResult {
  return {
    ...run,
    commit: describeCommit(),
    date: new Date().toISOString(),
    machine: describeMachine(),
    ...measurement,
  };
}

export function appendResult(result: BenchResult, directory: string = RESULTS_DIRECTORY): void {
  mkdirSync(directory, { recursive: true });
  appendFileSync(pathOf(directory, result.scenario), `${JSON.stringify(result)}\n`);
}

/** The last run that was kept. Throws on a line that is no JSON. */
export function newestResult(
  scenario: string,
  directory: string = RESULTS_DIRECTORY,
): BenchResult | undefined {
  const last = readLines(pathOf(directory, scenario)).at(-1);
  return last === undefined ? undefined : (JSON.parse(last) as BenchResult);
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function pathOf(directory: string, scenario: string): string {
  return join(directory, `${scenario}.jsonl`);
}
