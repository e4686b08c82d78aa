/** Seeded vectors for tests of the engine. */

import type { VectorIndex } from '../../../src/engine/index/vector-index.js';

/** Adds the vectors under the labels 0, 1, 2, ... */
export function addAll(index: VectorIndex, vectors: readonly Float32Array[]): void {
  for (const [label, vector] of vectors.entries()) index.add(label, vector);
}

/** mulberry32: floats in [0, 1), the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Points around a few centres, as embeddings lie: harder for a graph than uniform noise. */
export function clusteredVectors(
  random: () => number,
  count: number,
  dimension: number,
): Float32Array[] {
  const centres = Array.from({ length: Math.ceil(count / 50) }, () =>
    Float32Array.from({ length: dimension }, () => random() * 2 - 1),
  );
  return Array.from({ length: count }, (_, at) => {
    const centre = centres[at % centres.length] as Float32Array;
    return centre.map((value) => value + (random() - 0.5) * 0.3);
  });
}
