// Goal: on real vectors a search finds 0.99 of the true nearest 10, and filters find what they
// should at every selectivity (Q1). Method: images of digits, brute force over all that match.
import { beforeAll, describe, expect, it } from 'vitest';
import type { Selection } from '../../../src/engine/engine.js';
import { defined } from '../../../src/shared/assert.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import type { JsonObject } from '../../../src/shared/codec/struct.js';
import { loadRealData } from '../../support/mnist.js';
import { squaredDistance } from '../../support/vectors.js';
import { openShard } from './harness.js';
import { query, SCOPE, type ShardDriver, upsert } from './shard-driver.js';

const K = 10;
const RECALL_MIN = 0.99;
/** Of the filtered searches: a look at every image each. */
const QUERIES = 40;
const RECORDS_PER_ENTRY = 250;

const data = loadRealData();

/** What is told of an image besides its pixels; ink says much about where the image lies. */
interface Image {
  readonly row: number;
  readonly vector: Float32Array;
  /** Pixels that are not white. */
  readonly ink: number;
}

const images = (data?.base ?? []).map((vector, row): Image => {
  return { row, vector, ink: vector.reduce((sum, value) => sum + (value > 0 ? 1 : 0), 0) };
});

function metadataOf({ row, ink }: Image): JsonObject {
  return { row, ink, free: ink, parity: row % 2 === 0 ? 'even' : 'odd' };
}

const inks = images.map(({ ink }) => ink).sort((a, b) => a - b);

/** The ink that this share of the images does not exceed, or little more than the share. */
function inkBelow(share: number): number {
  return inks[Math.min(inks.length - 1, Math.floor(share * inks.length))] ?? 0;
}

const LITTLE_INK = inkBelow(0.1);
const MUCH_INK = inkBelow(0.9);

interface Case {
  readonly name: string;
  readonly json: JsonObject;
  readonly isMatch: (image: Image) => boolean;
}

/** By a number that says nothing about the image, and by one that does, from both ends. */
function casesOf(share: number): Case[] {
  const below = share * images.length;
  const [ink, much] = [inkBelow(share), inkBelow(1 - share)];
  const percent = `${100 * share} %`;
  return [
    {
      name: `row, ${percent}`,
      json: { row: { $lt: below } },
      isMatch: ({ row }) => row < below,
    },
    {
      name: `ink, ${percent}`,
      json: { ink: { $lte: ink } },
      isMatch: (image) => image.ink <= ink,
    },
    {
      name: `much ink, ${percent}`,
      json: { ink: { $gte: much } },
      isMatch: (image) => image.ink >= much,
    },
  ];
}

const CASES: Case[] = [
  ...[1, 0.5, 0.1, 0.05, 0.01, 0.001].flatMap(casesOf),
  { name: 'one image', json: { row: 4_321 }, isMatch: ({ row }) => row === 4_321 },
  { name: 'none', json: { row: -1 }, isMatch: () => false },
  {
    name: 'a field that is not declared',
    json: { free: { $gt: MUCH_INK } },
    isMatch: ({ ink }) => ink > MUCH_INK,
  },
  {
    name: 'several conditions',
    json: { $or: [{ parity: 'even', ink: { $lt: LITTLE_INK } }, { row: { $gte: 9_900 } }] },
    isMatch: ({ row, ink }) => (row % 2 === 0 && ink < LITTLE_INK) || row >= 9_900,
  },
];

/** All images, nearest first. */
function byDistance(vector: Float32Array): Image[] {
  return images
    .map((image) => ({ image, distance: squaredDistance(image.vector, vector) }))
    .sort((a, b) => a.distance - b.distance)
    .map(({ image }) => image);
}

function recallOf(found: readonly string[][], expected: readonly string[][]): number {
  const wanted = expected.flat().length;
  const hits = expected.flatMap((ids, at) => ids.filter((id) => found[at]?.includes(id)));
  return wanted === 0 ? 1 : hits.length / wanted;
}

async function filled(): Promise<ShardDriver> {
  const shard = await openShard({
    dimension: defined(images[0], 'an image').vector.length,
    efConstruction: 100,
    indexedFields: [
      { path: 'row', type: 'integer' },
      { path: 'ink', type: 'integer' },
      { path: 'parity', type: 'keyword' },
    ],
  });
  for (let at = 0; at < images.length; at += RECORDS_PER_ENTRY) {
    const part = images.slice(at, at + RECORDS_PER_ENTRY);
    await shard.write(
      part.map((image, ordinal) =>
        upsert(`${image.row}`, image.vector, { ordinal, slot: 0, metadata: metadataOf(image) }),
      ),
    );
  }
  await shard.settled();
  return shard;
}

async function scrolledIds(shard: ShardDriver, selection: Selection): Promise<string[]> {
  const ids: string[] = [];
  const page = { ...selection, limit: 1_000, includeValues: false, includeMetadata: false };
  for await (const { records } of shard.scrollPages(page)) ids.push(...records.map(({ id }) => id));
  return ids;
}

describe.skipIf(data === undefined)('10,000 images (skipped where mnist10k is absent)', () => {
  let shard: ShardDriver;
  /** Queries, and what every case selects from. */
  let asked: { readonly vector: Float32Array; readonly neighbours: readonly Image[] }[];
  beforeAll(async () => {
    shard = await filled();
    asked = defined(data, 'mnist10k')
      .queries.slice(0, QUERIES)
      .map((vector) => ({ vector, neighbours: byDistance(vector) }));
    return () => shard.engine.close();
  }, 240_000);

  it('are found by their nearest with the default of a search', async () => {
    const { queries, neighbours } = defined(data, 'mnist10k');
    const found: string[][] = [];
    for (const vector of queries) found.push(await shard.searchIds(vector, K));
    const expected = neighbours.map((rows) => rows.slice(0, K).map(String));
    expect(recallOf(found, expected)).toBeGreaterThanOrEqual(RECALL_MIN);
  });

  it.each(CASES)('are found, counted and scrolled among those that match: $name', async (one) => {
    const matching = images.filter(one.isMatch);
    const rows = new Set(matching.map(({ row }) => `${row}`));
    const selection: Selection = { filter: encodeFilter(one.json) };
    const found: string[][] = [];
    const expected: string[][] = [];
    for (const { vector, neighbours } of asked) {
      const hits = await shard.search(query(vector, K, selection));
      found.push(hits.map(({ id }) => id));
      const nearest = neighbours.filter(one.isMatch).slice(0, K);
      expected.push(nearest.map(({ row }) => `${row}`));
    }
    expect(found.flat().filter((id) => !rows.has(id))).toEqual([]);
    expect(found.map((ids) => ids.length)).toEqual(expected.map((ids) => ids.length));
    expect(recallOf(found, expected)).toBeGreaterThanOrEqual(RECALL_MIN);
    expect(await shard.engine.count(SCOPE, selection)).toBe(matching.length);
    expect(await scrolledIds(shard, selection)).toEqual([...rows].sort());
  });
});
