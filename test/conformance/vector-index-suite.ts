// Goal: every vector index keeps the contract of VectorIndex, and bad use cannot break it.
// Method: one suite for all implementations; the guards are tested by abuse.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  LABEL_MAX,
  type SavedIndex,
  type VectorIndex,
  type VectorIndexFactory,
  type VectorIndexOptions,
} from '../../src/engine/index/vector-index.js';
import { InvariantError } from '../../src/shared/assert.js';
import { crc32c } from '../../src/shared/crc32c.js';
import type { Disk } from '../../src/shared/environment.js';
import { METRICS } from '../../src/shared/types.js';
import { addAll, clusteredVectors, seededRandom } from '../unit/engine/vectors.js';
import { EXACT, expectNearest, type Tolerance } from './index-tolerance.js';

const OPTIONS: VectorIndexOptions = { dimension: 3, metric: 'l2', m: 16, efConstruction: 100 };

const vector = (...values: number[]): Float32Array => Float32Array.from(values);

/** Points one apart in a row; the label says where. */
const inRow = (count: number): Float32Array[] =>
  Array.from({ length: count }, (_, label) => vector(label, 0, 0));

/** A disk for one test file, and a directory of it. */
export interface SuiteDisk {
  readonly disk: Disk;
  readonly directory: string;
  readonly remove: () => Promise<void>;
}

/** `tolerance` is what an index that does not keep each float, or not for certain, may ask for. */
export function vectorIndexSuite(
  name: string,
  create: VectorIndexFactory,
  openDisk: () => Promise<SuiteDisk>,
  tolerance: Tolerance = EXACT,
): void {
  describe(`${name}: VectorIndex`, () => {
    describe.each(METRICS)('under %s', (metric) => {
      it('finds the nearest in order, with the distance that the metric defines', () => {
        const index = create({ ...OPTIONS, dimension: 8, metric });
        const random = seededRandom(7);
        const points = clusteredVectors(random, 200, 8);
        addAll(index, points);
        const query = points[17] as Float32Array;
        const asked = { query, k: 10, points: points.entries(), metric };
        expectNearest(index.search(query, 10, 200), asked, tolerance);
      });

      it('orders vectors that are very short or very long', () => {
        for (const scale of [1e-5, 1, 1e5]) {
          const index = create({ ...OPTIONS, metric });
          const points = [
            vector(scale, 0, 0),
            vector(scale, scale * 0.1, 0),
            vector(scale * 0.9, -scale, 0),
          ];
          addAll(index, points);
          const query = vector(scale, scale * 0.1, 0);
          const asked = { query, k: 3, points: points.entries(), metric };
          expectNearest(index.search(query, 3, 10), asked, tolerance);
        }
      });
    });

    it('finds nothing in an empty index', () => {
      expect(create(OPTIONS).search(vector(1, 2, 3), 10, 10)).toEqual({
        labels: [],
        distances: [],
      });
    });

    it('gives all points for a k above the size, and for an ef below k', () => {
      const index = create(OPTIONS);
      addAll(index, inRow(30));
      const query = vector(0, 0, 0);
      const asked = { query, k: 30, points: [...inRow(30).entries()] };
      expectNearest(index.search(query, 1_000_000, 100), asked, tolerance);
      expectNearest(index.search(query, 30, 1), asked, tolerance);
    });

    it('leaves removed points out and counts them', () => {
      const index = create(OPTIONS);
      addAll(index, inRow(20));
      for (let label = 0; label < 15; label++) index.remove(label);
      const query = vector(0, 0, 0);
      const points = [...inRow(20).entries()].slice(15);
      expectNearest(index.search(query, 5, 5), { query, k: 5, points }, tolerance);
      expect([index.size, index.removedCount]).toEqual([20, 15]);
    });

    it('finds nothing when all points are removed, and new points afterwards', () => {
      const index = create(OPTIONS);
      for (let label = 0; label < 10; label++) index.add(label, vector(label, 0, 0));
      for (let label = 0; label < 10; label++) index.remove(label);
      expect(index.search(vector(0, 0, 0), 10, 10).labels).toEqual([]);
      index.add(10, vector(5, 5, 5));
      expect(index.search(vector(0, 0, 0), 10, 10).labels).toEqual([10]);
    });

    it('asks the filter for each point, and gives none that it rejects', () => {
      const index = create(OPTIONS);
      addAll(index, inRow(50));
      const query = vector(0, 0, 0);
      const isEven = (label: number): boolean => label % 2 === 0;
      const points = [...inRow(50).entries()].filter(([label]) => isEven(label));
      expectNearest(index.search(query, 3, 50, isEven), { query, k: 3, points }, tolerance);
      expect(index.search(query, 3, 50, () => false).labels).toEqual([]);
    });

    it('throws what the filter throws, and lives on', () => {
      const index = create(OPTIONS);
      addAll(index, inRow(50));
      const query = vector(0, 0, 0);
      const failing = (): boolean => {
        throw new TypeError('filter failed');
      };
      expect(() => index.search(query, 3, 10, failing)).toThrow('filter failed');
      const asked = { query, k: 1, points: inRow(50).entries() };
      expectNearest(index.search(query, 1, 10), asked, tolerance);
    });

    it.each([
      ['NaN', vector(Number.NaN, 0, 0)],
      ['an infinity', vector(0, Number.POSITIVE_INFINITY, 0)],
      ['a length that overflows', vector(3e38, 3e38, 3e38)],
      ['too few floats', vector(1, 2)],
      ['too many floats', vector(1, 2, 3, 4)],
      ['no floats', vector()],
    ])('refuses a vector with %s, and is unchanged', (_what, wrong) => {
      const index = create(OPTIONS);
      index.add(0, vector(1, 1, 1));
      expect(() => index.add(1, wrong)).toThrow(InvariantError);
      expect(() => index.search(wrong, 1, 10)).toThrow(InvariantError);
      expect(index.size).toBe(1);
      expect(index.search(vector(1, 1, 1), 5, 10).labels).toEqual([0]);
    });

    it('refuses a zero vector under cosine only', () => {
      const zero = vector(0, 0, 0);
      expect(() => create({ ...OPTIONS, metric: 'cosine' }).add(0, zero)).toThrow(InvariantError);
      create({ ...OPTIONS, metric: 'dot' }).add(0, zero);
      create({ ...OPTIONS, metric: 'l2' }).add(0, zero);
    });

    it('takes the largest label and refuses those that would wrap', () => {
      const index = create(OPTIONS);
      for (const label of [-1, 0.5, Number.NaN, LABEL_MAX + 1, 2 ** 40]) {
        expect(() => index.add(label, vector(1, 1, 1)), `label ${label}`).toThrow(InvariantError);
      }
      index.add(LABEL_MAX, vector(1, 1, 1));
      expect(index.search(vector(1, 1, 1), 1, 1).labels).toEqual([LABEL_MAX]);
    });

    it('refuses a label that was used before, also after its removal', () => {
      const index = create(OPTIONS);
      index.add(4, vector(1, 1, 1));
      expect(() => index.add(4, vector(2, 2, 2))).toThrow(InvariantError);
      index.remove(4);
      expect(() => index.add(4, vector(2, 2, 2))).toThrow(InvariantError);
      expect(() => index.remove(4)).toThrow();
      expect(() => index.remove(5)).toThrow();
      expect([index.size, index.removedCount]).toEqual([1, 1]);
    });

    it('refuses a k or ef that is not a count', () => {
      const index = create(OPTIONS);
      index.add(0, vector(1, 1, 1));
      for (const k of [0, -1, 1.5, Number.NaN]) {
        expect(() => index.search(vector(1, 1, 1), k, 10), `k ${k}`).toThrow(InvariantError);
      }
      expect(() => index.search(vector(1, 1, 1), 1, -1)).toThrow(InvariantError);
    });

    it('grows far beyond its first capacity', () => {
      const index = create(OPTIONS);
      const random = seededRandom(3);
      const points = clusteredVectors(random, 1_000, 3);
      addAll(index, points);
      expect(index.size).toBe(1_000);
      for (const label of [0, 63, 64, 65, 999]) {
        const query = points[label] as Float32Array;
        const asked = { query, k: 1, points: points.entries() };
        expectNearest(index.search(query, 1, 50), asked, tolerance);
      }
    });

    it('does not keep the array that it was given', () => {
      const index = create(OPTIONS);
      const reused = vector(1, 1, 1);
      index.add(0, reused);
      reused.fill(9);
      const query = vector(1, 1, 1);
      expectNearest(index.search(query, 1, 1), { query, k: 1, points: [[0, query]] }, tolerance);
    });

    it('frees its memory, and refuses to be used afterwards', () => {
      const index = create(OPTIONS);
      index.add(0, vector(1, 1, 1));
      index.dispose();
      index.dispose();
      expect(() => index.add(1, vector(1, 1, 1))).toThrow(InvariantError);
      expect(() => index.remove(0)).toThrow(InvariantError);
      expect(() => index.search(vector(1, 1, 1), 1, 1)).toThrow(InvariantError);
    });

    fileSuite(create, openDisk, tolerance);
  });
}

/** What a file keeps of an index, and what is made of a file that it is not. */
function fileSuite(
  create: VectorIndexFactory,
  openDisk: () => Promise<SuiteDisk>,
  tolerance: Tolerance,
): void {
  const WIDE: VectorIndexOptions = { ...OPTIONS, dimension: 8, m: 6 };
  const points = clusteredVectors(seededRandom(11), 500, 8);
  let place: SuiteDisk;
  let path: string;

  beforeAll(async () => {
    place = await openDisk();
    path = `${place.directory}/index`;
  });
  afterAll(() => place.remove());

  /** 500 points under every third label, a fifth of them removed. */
  function filled(options: VectorIndexOptions = WIDE): VectorIndex {
    const index = create(options);
    for (const [at, point] of points.entries()) index.add(3 * at, point);
    for (let at = 0; at < points.length; at += 5) index.remove(3 * at);
    return index;
  }

  async function saveTo(index: VectorIndex, to: string): Promise<SavedIndex> {
    const written = await index.write(place.disk, to);
    return written.seal();
  }

  async function saveFilled(): Promise<{ saved: SavedIndex; bytes: Uint8Array }> {
    const saved = await saveTo(filled(), path);
    return { saved, bytes: (await place.disk.readFile(path)) as Uint8Array };
  }

  async function loaded(saved: SavedIndex, options = WIDE): Promise<VectorIndex> {
    const index = create(options);
    await index.load(place.disk, path, saved);
    return index;
  }

  it.each(METRICS)('finds the same after a save and a load, under %s', async (metric) => {
    const before = filled({ ...WIDE, metric });
    expect(before.canSave(place.disk)).toBe(true);
    const saved = await saveTo(before, path);
    const after = await loaded(saved, { ...WIDE, metric });
    expect([after.size, after.removedCount]).toEqual([500, 100]);
    for (const query of points.slice(0, 50)) {
      expect(after.search(query, 20, 20)).toEqual(before.search(query, 20, 20));
    }
  });

  it('tells what it wrote', async () => {
    const { saved, bytes } = await saveFilled();
    expect(saved).toMatchObject({ options: WIDE, points: 500, removedPoints: 100 });
    expect(saved.lastLabel).toBe(3 * 499);
    expect(saved.sizeBytes).toBe(bytes.length);
    expect(saved.crc32c).toBe(crc32c(bytes));
  });

  it('goes on after a load: removed points stay so, labels ascend, room grows', async () => {
    const index = await loaded((await saveFilled()).saved);
    expect(() => index.remove(0)).toThrow();
    expect(() => index.add(3 * 499, points[0] as Float32Array)).toThrow(InvariantError);
    for (const [at, point] of points.entries()) index.add(2_000 + at, point);
    index.remove(3);
    expect([index.size, index.removedCount]).toEqual([1_000, 101]);
    const query = points[1] as Float32Array;
    const found = index.search(query, 1, 200);
    const before = [...points.entries()].filter(([at]) => at % 5 !== 0 && at !== 1);
    const all = [
      ...before.map(([at, point]) => [3 * at, point] as const),
      ...points.map((point, at) => [2_000 + at, point] as const),
    ];
    expectNearest(found, { query, k: 1, points: all }, tolerance);
    const again = await saveTo(index, path);
    expect((await loaded(again)).search(query, 1, 200)).toEqual(found);
  });

  it('saves and loads an index without points', async () => {
    const saved = await saveTo(create(WIDE), path);
    const index = await loaded(saved);
    expect(index.search(points[0] as Float32Array, 5, 5).labels).toEqual([]);
    addAll(index, points);
    const query = points[7] as Float32Array;
    const asked = { query, k: 1, points: points.entries() };
    expectNearest(index.search(query, 1, 100), asked, tolerance);
  });

  it('saves and loads an index of which every point is removed', async () => {
    const before = create(WIDE);
    addAll(before, points.slice(0, 20));
    for (let label = 0; label < 20; label++) before.remove(label);
    const index = await loaded(await saveTo(before, path));
    expect(index.search(points[0] as Float32Array, 5, 5).labels).toEqual([]);
    index.add(20, points[20] as Float32Array);
    expect(index.search(points[0] as Float32Array, 5, 5).labels).toEqual([20]);
  });

  it('replaces the file that is there, shorter or longer', async () => {
    await place.disk.writeFile(path, new Uint8Array(1_000_000));
    const { saved, bytes } = await saveFilled();
    expect(bytes.length).toBe(saved.sizeBytes);
    await loaded(saved);
  });

  it('is searched while it is written, and refuses to change', async () => {
    const index = filled();
    const query = points[1] as Float32Array;
    const before = index.search(query, 5, 50);
    const writing = index.write(place.disk, path);
    expect(index.search(query, 5, 50)).toEqual(before);
    expect(() => index.add(9_000, query)).toThrow(InvariantError);
    expect(() => index.remove(3)).toThrow(InvariantError);
    await expect(index.write(place.disk, `${path}-2`)).rejects.toThrow(InvariantError);
    await (await writing).seal();
    index.add(9_000, query);
    index.remove(3);
  });

  it('changes while its file is sealed, which has what was written (H5)', async () => {
    const index = filled();
    const query = points[1] as Float32Array;
    const before = index.search(query, 20, 100);
    const written = await index.write(place.disk, path);
    index.remove(3);
    index.add(9_000, query);
    const sealing = written.seal();
    for (let label = 9_001; label < 10_000; label++) index.add(label, query);
    const saved = await sealing;
    expect(saved).toMatchObject({ points: 500, removedPoints: 100, lastLabel: 3 * 499 });
    expect((await loaded(saved)).search(query, 20, 100)).toEqual(before);
    expect([index.size, index.removedCount]).toEqual([1_500, 101]);
  });

  it('is not sealed where the file is not what was written, and goes on', async () => {
    const index = filled();
    const written = await index.write(place.disk, path);
    await place.disk.remove(path);
    await expect(written.seal()).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    index.add(9_000, points[1] as Float32Array);
    await loaded(await saveTo(index, path));
  });

  it('may be disposed of while it is written, sealed or loaded', async () => {
    const index = filled();
    const writing = index.write(place.disk, path);
    index.dispose();
    expect(() => index.search(points[1] as Float32Array, 1, 1)).toThrow(InvariantError);
    const saved = await (await writing).seal();
    const gone = filled();
    const written = await gone.write(place.disk, path);
    gone.dispose();
    expect(await written.seal()).toEqual(saved);
    const other = create(WIDE);
    const loading = other.load(place.disk, path, saved);
    other.dispose();
    await loading;
    expect(() => other.search(points[1] as Float32Array, 1, 1)).toThrow(InvariantError);
  });

  it('loads only into an index that was never used, and refuses all use meanwhile', async () => {
    const { saved } = await saveFilled();
    await expect(filled().load(place.disk, path, saved)).rejects.toThrow(InvariantError);
    const index = create(WIDE);
    const loading = index.load(place.disk, path, saved);
    const query = points[1] as Float32Array;
    expect(() => index.search(query, 1, 1)).toThrow(InvariantError);
    expect(() => index.add(0, query)).toThrow(InvariantError);
    await loading;
    expect(index.size).toBe(500);
  });

  it.each<[string, Partial<VectorIndexOptions>]>([
    ['dimension', { dimension: 9 }],
    ['metric', { metric: 'dot' }],
    ['m', { m: 7 }],
    ['efConstruction', { efConstruction: 101 }],
  ])('refuses a file of an index with another %s', async (_what, difference) => {
    const { saved } = await saveFilled();
    const options = { ...WIDE, ...difference };
    await expect(loaded(saved, options)).rejects.toMatchObject({ reason: 'SETTINGS_MISMATCH' });
    // And where what was kept beside the file is wrong, the file itself says it, or the checksum.
    if (difference.metric !== undefined) return;
    const lie = { ...saved, options, crc32c: saved.crc32c ^ 1 };
    await expect(loaded(lie, options)).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });

  it('refuses a file of another kind of index', async () => {
    const saved = { ...(await saveFilled()).saved, kind: 'other' };
    await expect(loaded(saved)).rejects.toMatchObject({ reason: 'SETTINGS_MISMATCH' });
  });

  it.each<[string, (saved: SavedIndex) => SavedIndex]>([
    ['points', (saved) => ({ ...saved, points: saved.points + 1 })],
    ['removed points', (saved) => ({ ...saved, removedPoints: 0 })],
    ['last label', (saved) => ({ ...saved, lastLabel: saved.lastLabel + 1 })],
    ['size', (saved) => ({ ...saved, sizeBytes: saved.sizeBytes - 1 })],
    ['checksum', (saved) => ({ ...saved, crc32c: (saved.crc32c ^ 1) >>> 0 })],
  ])('refuses a file whose %s is not what was saved', async (_what, change) => {
    const { saved } = await saveFilled();
    await expect(loaded(change(saved))).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });

  it.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['empty', () => new Uint8Array()],
    ['cut off in the head', (bytes) => bytes.slice(0, 40)],
    ['cut off in the middle', (bytes) => bytes.slice(0, bytes.length >> 1)],
    ['one byte short', (bytes) => bytes.slice(0, -1)],
    ['one byte long', (bytes) => Uint8Array.of(...bytes, 0)],
    ['foreign', (bytes) => bytes.map((_, at) => (at * 31) & 0xff)],
    ['all zeros', (bytes) => bytes.map(() => 0)],
    ['all ones', (bytes) => bytes.map(() => 255)],
  ])('refuses a file that is %s, and can be used then', async (_what, damage) => {
    const { saved, bytes } = await saveFilled();
    const damaged = damage(bytes);
    await place.disk.writeFile(path, damaged);
    const index = create(WIDE);
    await expect(index.load(place.disk, path, saved)).rejects.toMatchObject({
      reason: 'LOG_DAMAGED',
    });
    // Also where size and checksum do not give it away.
    const lie = { ...saved, sizeBytes: damaged.length, crc32c: crc32c(damaged) };
    await expect(index.load(place.disk, path, lie)).rejects.toMatchObject({
      reason: 'LOG_DAMAGED',
    });
    const few = points.slice(0, 10);
    addAll(index, few);
    const query = points[3] as Float32Array;
    expectNearest(index.search(query, 1, 50), { query, k: 1, points: few.entries() }, tolerance);
  });

  it('refuses a file that is not there', async () => {
    const { saved } = await saveFilled();
    await place.disk.remove(path);
    await expect(loaded(saved)).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });

  it('refuses every flipped byte and every cut, wherever it is', async () => {
    const { saved, bytes } = await saveFilled();
    const random = seededRandom(5);
    for (let round = 0; round < 500; round++) {
      const at = Math.floor(random() * bytes.length);
      const damaged = round % 2 === 0 ? bytes.slice(0, at) : bytes.slice();
      if (round % 2 === 1) damaged[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
      await place.disk.writeFile(path, damaged);
      await expect(loaded(saved), `byte ${at}`).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    }
  });
}
