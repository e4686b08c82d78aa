/** The index library as operators see it: what it was compiled for, and how fast it is here. */
import type { Clock } from '../../shared/environment.js';
import {
  type Addon,
  buildCommand,
  type InstalledAddon,
  installedAddon,
  loadAddon,
} from './addon.js';
import type { InstructionSet } from './addon-build.js';
import { bestInstructionSet } from './processor.js';

export interface IndexLibrary {
  readonly built: InstructionSet;
  /** The best that the processor could run, `unknown` where the system does not tell. */
  readonly machine: InstructionSet;
  /** Name and version; empty where not known. */
  readonly compiler: string;
  /** Of 256 floats, one thread, from the cache; 0 where the clock stands still. */
  readonly distancesPerSecond: number;
}

const DIMENSION = 256;
const POINTS = 512;
const ROUNDS = 12;
const SEARCHES_PER_ROUND = 4;

/**
 * Loads the library and measures it, for some milliseconds. `installed` spares a look at what is
 * installed. Throws UNSUPPORTED_PROCESSOR and NATIVE_LIBRARY_MISSING.
 */
export function describeIndexLibrary(clock: Clock, installed = installedAddon()): IndexLibrary {
  return {
    ...instructionSetsOf(installed),
    compiler: installed.build.compiler,
    distancesPerSecond: measureDistances(loadAddon(installed), clock),
  };
}

export function instructionSetsOf({
  build,
  processor,
}: InstalledAddon): Pick<IndexLibrary, 'built' | 'machine'> {
  return { built: build.instructionSet, machine: bestInstructionSet(processor) };
}

/**
 * Why the library is slower than it could be and the one command that mends it; `undefined` where
 * there is nothing to mend.
 */
export function remedyOf({
  built,
  machine,
}: Pick<IndexLibrary, 'built' | 'machine'>): string | undefined {
  const isBetter = machine === 'avx2' || machine === 'avx512';
  if (!isBetter || (built !== 'sse' && built !== 'unknown')) return undefined;
  const what =
    built === 'sse'
      ? 'The index library uses SSE only; this processor has AVX2, which is faster.'
      : 'It is not known what the index library was compiled for; this processor has AVX2.';
  return `${what} Run: ${buildCommand()}`;
}

/** An exact search of the library computes one distance a point, and little else. */
function measureDistances(addon: Addon, clock: Clock): number {
  const index = new addon.BruteforceSearch('l2', DIMENSION);
  index.initIndex(POINTS);
  const vector = new Array<number>(DIMENSION).fill(0);
  for (let label = 0; label < POINTS; label++) {
    for (let at = 0; at < DIMENSION; at++) vector[at] = ((label * 31 + at * 17) % 23) / 8;
    index.addPoint(vector, label);
  }
  // Whatever else the machine does makes a round slower, never faster.
  let bestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = clock.monotonicMs();
    for (let search = 0; search < SEARCHES_PER_ROUND; search++) index.searchKnn(vector, 1);
    bestMs = Math.min(bestMs, clock.monotonicMs() - startMs);
  }
  return bestMs > 0 ? Math.round((SEARCHES_PER_ROUND * POINTS * 1_000) / bestMs) : 0;
}
