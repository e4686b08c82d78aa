/** Seeded vectors for tests and benches: clustered, as embeddings are, and exact neighbours. */

/** A float in [0, 1) per call; the same sequence for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface ClusteredOptions {
  readonly count: number;
  readonly dimension: number;
  readonly seed: number;
  /** @default 50 */
  readonly clusters?: number;
}

/** Points around cluster centres, each coordinate about within [-2, 2]. */
export function clusteredVectors(options: ClusteredOptions): Float32Array[] {
  const { count, dimension, seed, clusters = 50 } = options;
  const random = seededRandom(seed);
  const centred = (): number => random() + random() + random() - 1.5;
  const centres = Array.from({ length: clusters }, () =>
    Float32Array.from({ length: dimension }, centred),
  );
  return Array.from({ length: count }, () => {
    const centre = centres[Math.floor(random() * clusters)] as Float32Array;
    return centre.map((value) => value + 0.35 * centred());
  });
}

export function squaredDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    sum += difference * difference;
  }
  return sum;
}

/** Row numbers of the `k` vectors nearest to `query` by squared distance, nearest first. */
export function exactNeighbours(
  base: readonly ArrayLike<number>[],
  query: ArrayLike<number>,
  k: number,
): number[] {
  return base
    .map((vector, row) => ({ row, distance: squaredDistance(vector, query) }))
    .sort((a, b) => a.distance - b.distance || a.row - b.row)
    .slice(0, k)
    .map(({ row }) => row);
}
