/**
 * What replacing every record does to a graph: recall after each of several rounds beside that of a
 * fresh build of what is there then.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusteredVectors, seededRandom } from '../../test/support/vectors.js';
import { BareIndex, plainArray } from '../harness/bare-index.js';
import { atMost } from '../harness/bars.js';
import { NEIGHBOURS } from '../harness/dataset.js';
import { EngineShard, searchQuery } from '../harness/engine-shard.js';
import { ExactScan } from '../harness/exact-scan.js';
import type { Quantity } from '../harness/scenario.js';
import { recallOf } from '../harness/statistics.js';
import { type Findings, GRAPH } from './findings.js';

const ROUNDS = 3;
const EF = 64;
const RECORDS_PER_ENTRY = 100;
const QUERIES = 200;
/** What a fresh build may find more. */
const LOSS_MAX = 0.005;

export interface ChurnOptions {
  readonly records: number;
  readonly dimension: number;
  readonly progress: (line: string) => void;
}

export async function measureChurn({
  records,
  dimension,
  progress,
}: ChurnOptions): Promise<Partial<Findings>> {
  const count = (ROUNDS + 1) * records + QUERIES;
  const vectors = clusteredVectors({ count, dimension, seed: 17 });
  const queries = vectors.slice((ROUNDS + 1) * records);
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const shard = EngineShard.inThread(join(directory, 'points'));
  const quantities: Quantity[] = [];
  const losses: number[] = [];
  try {
    await shard.open();
    await shard.createCollection({ dimension, ...GRAPH });
    for (let round = 0; round <= ROUNDS; round++) {
      progress(`churn: round ${round} of ${ROUNDS}, ${records} records`);
      const live = vectors.slice(round * records, (round + 1) * records);
      await replaceAll(shard, live, round);
      await shard.settled();
      if (round === 0) continue;
      const truth = exactNeighbours(live, queries, dimension);
      const churned = recallOf(await searchAll(shard, queries), truth);
      const fresh = recallOf(freshBuild(live, queries, dimension), truth);
      losses.push(fresh - churned);
      const name = `${dimension}-d churn, round ${round}, ef ${EF}: recall@10`;
      quantities.push(
        { name, value: churned, unit: '' },
        { name: `${name} of a fresh build`, value: fresh, unit: '' },
      );
    }
  } finally {
    await shard.close();
    rmSync(directory, { recursive: true });
  }
  const name = `${dimension}-d churn: recall@10 less than that of a fresh build, worst round`;
  return { quantities, bars: [atMost({ name, value: Math.max(...losses), unit: '' }, LOSS_MAX)] };
}

/** In any order: half of the records are updated, the other half deleted and written as others. */
async function replaceAll(
  shard: EngineShard,
  vectors: readonly Float32Array[],
  round: number,
): Promise<void> {
  const rows = shuffled(vectors.length, round);
  for (let at = 0; at < rows.length; at += RECORDS_PER_ENTRY) {
    const part = rows.slice(at, at + RECORDS_PER_ENTRY);
    const gone = round === 0 ? [] : part.filter((row) => !isUpdated(row));
    await shard.write({
      upserts: part.map((row) => ({
        id: idIn(row, round),
        values: vectors[row] as Float32Array,
      })),
      deletes: gone.map((row) => idIn(row, round - 1)),
    });
  }
}

function isUpdated(row: number): boolean {
  return row % 2 === 0;
}

function idIn(row: number, round: number): string {
  return isUpdated(row) ? `${row}` : `${row}-${round}`;
}

function shuffled(count: number, seed: number): number[] {
  const random = seededRandom(seed);
  const keys = Array.from({ length: count }, () => random());
  return [...keys.keys()].sort((a, b) => (keys[a] as number) - (keys[b] as number));
}

function exactNeighbours(
  live: readonly Float32Array[],
  queries: readonly Float32Array[],
  dimension: number,
): number[][] {
  const scan = new ExactScan(live, dimension);
  return queries.map((query) => scan.nearest(query, NEIGHBOURS));
}

async function searchAll(
  shard: EngineShard,
  queries: readonly Float32Array[],
): Promise<number[][]> {
  const found: number[][] = [];
  for (const query of queries) {
    const hits = await shard.search(searchQuery(query, { k: NEIGHBOURS, ef: EF }));
    found.push(hits.map(({ id }) => Number.parseInt(id, 10)));
  }
  return found;
}

function freshBuild(
  live: readonly Float32Array[],
  queries: readonly Float32Array[],
  dimension: number,
): number[][] {
  const index = new BareIndex({ dimension, ...GRAPH, capacity: live.length });
  index.insertAll(live);
  return queries.map((query) => index.search(plainArray(query), NEIGHBOURS, EF));
}
