/**
 * Load in a closed loop: a fixed number of callers, each of which sends its next call when the
 * last one is answered. Several loads take turns slice by slice, so that they meet the same machine.
 */
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks';
import type { Figure } from './scenario.js';
import { median, pairedRatio, quantilesMs, round } from './statistics.js';

export interface Load {
  /** Name of its figure. */
  readonly name: string;
  readonly inflight: number;
  /** The calls of a load are numbered from 0, warm-up included. */
  readonly call: (sequence: number) => Promise<unknown> | unknown;
  /** Things done by one call, such as the records of a batch. @default 1 */
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
  sequence: number;
}

/** One figure per load, in order. Fails with the first call that fails. */
export async function runInTurns(loads: readonly Load[], turns: Turns): Promise<Figure[]> {
  const { slices, sliceMs, warmUpSlices = 1 } = turns;
  const tracks = loads.map(
    (load): Track => ({ load, histogramUs: createHistogram(), rates: [], sequence: 0 }),
  );
  for (let slice = -warmUpSlices; slice < slices; slice++) {
    if (slice === 0) for (const track of tracks) forget(track);
    // Whoever goes first meets what the last turn left behind: each does so equally often.
    const first = Math.abs(slice) % tracks.length;
    for (const track of [...tracks.slice(first), ...tracks.slice(0, first)]) {
      track.rates.push(await runSlice(track, sliceMs));
    }
  }
  return tracks.map((track) => figureOf(track, tracks));
}

function forget(track: Track): void {
  track.histogramUs.reset();
  track.rates.length = 0;
}

/** Calls per second: those that ended, by the time until the last of them had ended. */
async function runSlice(track: Track, sliceMs: number): Promise<number> {
  const { load, histogramUs } = track;
  const startMs = performance.now();
  const endMs = startMs + sliceMs;
  let calls = 0;
  const caller = async (): Promise<void> => {
    let sentMs = performance.now();
    while (sentMs < endMs) {
      await load.call(track.sequence++);
      calls++;
      const answeredMs = performance.now();
      histogramUs.record(Math.max(1, Math.round((answeredMs - sentMs) * 1_000)));
      sentMs = answeredMs;
    }
  };
  await Promise.all(Array.from({ length: load.inflight }, caller));
  return (calls * 1_000) / (performance.now() - startMs);
}

function figureOf({ load, histogramUs, rates }: Track, tracks: readonly Track[]): Figure {
  const { name, unitsPerCall = 1, ratiosOf = [] } = load;
  const ratios = ratiosOf.map((of) => {
    const other = tracks.find((track) => track.load.name === of);
    if (other === undefined) throw new Error(`${name} has no load ${of} beside it`);
    return { of, value: round(pairedRatio(rates, other.rates), 4) };
  });
  return {
    name,
    perSecond: Math.round(median(rates) * unitsPerCall),
    latencyMs: quantilesMs(histogramUs),
    ...(ratios.length > 0 && { ratios }),
  };
}
