/** Where a thread spent its time: self time by file, from a CPU profile of V8. */
import type { Profiler } from 'node:inspector';

/** Microseconds of the machine's monotonic clock, which profiles of all processes count in. */
export interface TimeWindow {
  readonly startUs: number;
  readonly endUs: number;
}

export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/**
 * Microseconds by file, shortened to what tells it apart, or by what V8 calls the rest: "(idle)". A
 * sample counts for the time up to the next one; what is outside of the window does not count.
 */
export function selfTimesUs(profile: Profiler.Profile, window: TimeWindow): Map<string, number> {
  const { samples = [], timeDeltas = [] } = profile;
  const places = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const timesUs = new Map<string, number>();
  let nowUs = profile.startTime;
  for (const [at, node] of samples.entries()) {
    nowUs += timeDeltas[at] ?? 0;
    const untilUs = nowUs + (timeDeltas[at + 1] ?? 0);
    const lastsUs = Math.min(untilUs, window.endUs) - Math.max(nowUs, window.startUs);
    if (lastsUs <= 0) continue;
    const place = places.get(node) ?? '(unknown)';
    timesUs.set(place, (timesUs.get(place) ?? 0) + lastsUs);
  }
  return timesUs;
}

function placeOf({ url, functionName }: Profiler.Profile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  if (url.startsWith('node:')) return url;
  const [, inPackage] = url.split('/node_modules/').slice(-2);
  if (inPackage !== undefined) return inPackage.replace('/build/src/', '/');
  return url.replace(/^.*?\/dist(-bench)?\//, '').replace(/^src\//, '');
}
