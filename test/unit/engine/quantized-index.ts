/**
 * Goal: an index that keeps no float as it was, to see that an engine needs nothing else of one.
 * Method: the exact twin, over vectors whose coordinates are rounded to 255 steps (int8).
 */
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import {
  assertVector,
  type SavedIndex,
  type WrittenIndex,
} from '../../../src/engine/index/vector-index.js';
import type { Disk } from '../../../src/shared/environment.js';
import type { Tolerance } from '../../conformance/index-tolerance.js';

const KIND_PREFIX = 'int8-';
/** On either side of 0; the longest coordinate of a vector takes the last one. */
const STEPS = 127;

/**
 * Each of n coordinates is off by half a step at most, the vector by sqrt(n) / 254 of its length:
 * by 0.0112 at the 8 of the suite. By two such errors a point may come before another.
 */
export const INT8: Tolerance = { told: 0.015, place: 0.03 };

export class QuantizedIndex extends FlatIndex {
  override add(label: number, vector: Float32Array): void {
    assertVector(vector, this);
    super.add(label, rounded(vector));
  }

  override async write(disk: Disk, path: string): Promise<WrittenIndex> {
    const written = await super.write(disk, path);
    return {
      seal: async () => {
        const saved = await written.seal();
        return { ...saved, kind: KIND_PREFIX + saved.kind };
      },
    };
  }

  override load(disk: Disk, path: string, saved: SavedIndex): Promise<void> {
    const isOwn = saved.kind.startsWith(KIND_PREFIX);
    const kind = isOwn ? saved.kind.slice(KIND_PREFIX.length) : `not quantized: ${saved.kind}`;
    return super.load(disk, path, { ...saved, kind });
  }
}

/** What is left of a vector that was kept as a scale and a whole number of 8 bits a coordinate. */
function rounded(vector: Float32Array): Float32Array {
  const step = vector.reduce((longest, value) => Math.max(longest, Math.abs(value)), 0) / STEPS;
  return step === 0 ? vector : vector.map((value) => Math.round(value / step) * step);
}
