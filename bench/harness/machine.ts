/** The circumstances of a measurement: without them a number says nothing. */
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { round } from './statistics.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
  };
}

/** Processes that ran or wanted to, on average over the last minute. */
export function loadAverage(): number {
  return round(loadavg()[0] ?? 0, 2);
}

/** The commit that is checked out, `+` behind it where files differ from it. */
export function describeCommit(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' });
    const commit = git('rev-parse', '--short=10', 'HEAD').trim();
    return git('status', '--porcelain', '--', 'src', 'bench').trim() === '' ? commit : `${commit}+`;
  } catch {
    return 'unknown';
  }
}
