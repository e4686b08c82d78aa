/**
 * Load in a closed loop: a fixed number of callers, each of which sends its next call when the
 * last one is answered. Loads take turns slice by slice, so that they meet the same machine.
 */
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks';
import { familyCpuMs } from './cpu-time.js';
import type { Figure } from './scenario.js';
import { median, pairedRatio, quantilesMs, round } from './statistics.js';

export interface Load {
  /** Name of its figure. */
  readonly name: string;
  readonly inflight: number;
  /** The calls of a load are numbered from 0, warm-up included. */
  readonly call: (sequence: number) => Promise<unknown> | unknown;
  /** What one call gets done, of what the rate counts. @default 1 */
  readonly unitsPerCall?: number;
  /** Loads of the same turns that this one's rate is divided by. @default none */
  readonly ratiosOf?: readonly string[];
}

export interface Turns {
  readonly slices: number;
  readonly sliceMs: number;
  /** Slices of each load that are run first and thrown away. @default 1 */
  readonly warmUpSlices?: number;
}

interface Track {
  readonly load: Load;
  readonly histogramUs: RecordableHistogram;
  readonly rates: number[];
  /** CPU milliseconds of one call, by slice. */
  readonly cpuMsPerCall: number[];
  sequence: number;
}

/** One figure per load, in order. Fails with the first call that fails. */
export async function runInTurns(loads: readonly Load[], turns: Turns): Promise<Figure[]> {
  const { slices, sliceMs, warmUpSlices = 1 } = turns;
  for (const load of loads) assertComparable(load, loads);
  const tracks = loads.map(newTrack);
  for (let slice = -warmUpSlices; slice < slices; slice++) {
    if (slice === 0) for (const track of tracks) forget(track);
    // Whoever goes first meets what the last turn left behind: each does so equally often.
    const first = Math.abs(slice) % tracks.length;
    for (const track of [...tracks.slice(first), ...tracks.slice(0, first)]) {
      await runSlice(track, sliceMs);
    }
  }
  return tracks.map((track) => figureOf(track, tracks));
}

/** A minute later would be too late to say so. */
function assertComparable({ name, ratiosOf = [] }: Load, loads: readonly Load[]): void {
  const missing = ratiosOf.find((of) => !loads.some((load) => load.name === of));
  if (missing !== undefined) throw new Error(`${name} has no load ${missing} beside it`);
}

function newTrack(load: Load): Track {
  return { load, histogramUs: createHistogram(), rates: [], cpuMsPerCall: [], sequence: 0 };
}

function forget(track: Track): void {
  track.histogramUs.reset();
  track.rates.length = 0;
  track.cpuMsPerCall.length = 0;
}

async function runSlice(track: Track, sliceMs: number): Promise<void> {
  const cpuBeforeMs = familyCpuMs();
  const { calls, lastedMs } = await callInLoops(track, sliceMs);
  track.rates.push((calls * (track.load.unitsPerCall ?? 1) * 1_000) / lastedMs);
  const cpuAfterMs = familyCpuMs();
  if (cpuBeforeMs === undefined || cpuAfterMs === undefined) return;
  track.cpuMsPerCall.push((cpuAfterMs - cpuBeforeMs) / calls);
}

/** Calls until the time is up, and waits for those under way: all of them count, and their time. */
async function callInLoops(
  track: Track,
  sliceMs: number,
): Promise<{ readonly calls: number; readonly lastedMs: number }> {
  const { load, histogramUs } = track;
  const startMs = performance.now();
  let endMs = startMs + sliceMs;
  let calls = 0;
  const caller = async (): Promise<void> => {
    let sentMs = performance.now();
    do {
      await load.call(track.sequence++);
      calls++;
      const answeredMs = performance.now();
      histogramUs.record(Math.max(1, Math.round((answeredMs - sentMs) * 1_000)));
      sentMs = answeredMs;
    } while (sentMs < endMs);
  };
  const stopOthers = (error: unknown): never => {
    endMs = startMs;
    throw error;
  };
  await Promise.all(Array.from({ length: load.inflight }, () => caller().catch(stopOthers)));
  return { calls, lastedMs: performance.now() - startMs };
}

function figureOf(
  { load, histogramUs, rates, cpuMsPerCall }: Track,
  tracks: readonly Track[],
): Figure {
  const { name, ratiosOf = [] } = load;
  const ratios = tracks
    .filter((other) => ratiosOf.includes(other.load.name))
    .map((other) => ({
      of: other.load.name,
      value: round(pairedRatio(rates, other.rates), 4),
    }));
  return {
    name,
    perSecond: Math.round(median(rates)),
    latencyMs: quantilesMs(histogramUs),
    ...(cpuMsPerCall.length > 0 && { cpuUsPerCall: Math.round(1_000 * median(cpuMsPerCall)) }),
    ...(ratios.length > 0 && { ratios }),
  };
}
