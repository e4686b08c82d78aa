/** What a call costs, thread by thread and file by file, from CPU profiles of all processes. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { join, resolve } from 'node:path';
import { monotonicUs, selfTimesUs, type TimeWindow } from './cpu-profile.js';
import { type Load, runInTurns, type Turns } from './load.js';

const PRELOAD = new URL('./profile-preload.js', import.meta.url).href;
const SAMPLE_US = 500;
/** Places that cost less than this in every column are left out of the table. */
const TABLE_MIN_US = 3;

/** A load that was run under the profiler of this process. */
export interface ProfiledPhase {
  readonly load: string;
  readonly calls: number;
  readonly window: TimeWindow;
  readonly client: Profiler.Profile;
}

/** Microseconds per call by "thread | file". */
export interface Costs {
  readonly load: string;
  readonly perCallUs: ReadonlyMap<string, number>;
}

/** From now on processes started by this one write a profile of each thread into `directory`. */
export function profileChildren(directory: string): void {
  mkdirSync(directory, { recursive: true });
  process.env.BENCH_PROFILE_DIRECTORY = resolve(directory);
  process.env.NODE_OPTIONS = `--import=${PRELOAD}`;
}

/** Warms the load up for as long as it is then profiled. */
export async function profilePhase(load: Load, turns: Turns): Promise<ProfiledPhase> {
  await runInTurns([load], turns);
  let calls = 0;
  const counted: Load = {
    ...load,
    call: (sequence) => {
      calls++;
      return load.call(sequence);
    },
  };
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
  session.post('Profiler.start');
  const startUs = monotonicUs();
  await runInTurns([counted], turns);
  const window = { startUs, endUs: monotonicUs() };
  const client = await new Promise<Profiler.Profile>((done, failed) => {
    session.post('Profiler.stop', (error, answer) =>
      error ? failed(error) : done(answer.profile),
    );
  });
  session.disconnect();
  return { load: load.name, calls, window, client };
}

/** Reads what the processes left in `directory` that have ended since `profileChildren`. */
export function costsOf(phase: ProfiledPhase, directory: string): Costs {
  const profiles = readdirSync(directory)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => ({
      thread: name.endsWith('-0.cpuprofile') ? 'node, main' : 'node, engine',
      profile: JSON.parse(readFileSync(join(directory, name), 'utf8')) as Profiler.Profile,
    }));
  const perCallUs = new Map<string, number>();
  for (const { thread, profile } of [{ thread: 'client', profile: phase.client }, ...profiles]) {
    for (const [place, timeUs] of selfTimesUs(profile, phase.window)) {
      const key = `${thread} | ${place}`;
      perCallUs.set(key, (perCallUs.get(key) ?? 0) + timeUs / phase.calls);
    }
  }
  return { load: phase.load, perCallUs };
}

/** A Markdown table, one column per load, the dearest places of each thread first. */
export function costTable(costs: readonly Costs[]): string[] {
  const costAt = (place: string): number =>
    Math.max(...costs.map(({ perCallUs }) => perCallUs.get(place) ?? 0));
  const threadOf = (place: string): string => place.slice(0, place.indexOf(' | '));
  const places = [...new Set(costs.flatMap(({ perCallUs }) => [...perCallUs.keys()]))]
    .filter((place) => costAt(place) >= TABLE_MIN_US)
    .sort((a, b) => threadOf(a).localeCompare(threadOf(b)) || costAt(b) - costAt(a));
  return [
    `| Thread | Self time in | ${costs.map(({ load }) => `${load}, us`).join(' | ')} |`,
    `| --- | --- | ${costs.map(() => '---:').join(' | ')} |`,
    ...places.map((place) => {
      const cells = costs.map(({ perCallUs }) => (perCallUs.get(place) ?? 0).toFixed(1));
      return `| ${place} | ${cells.join(' | ')} |`;
    }),
  ];
}
