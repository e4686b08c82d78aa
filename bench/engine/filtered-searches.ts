/**
 * Filtered searches at every selectivity, beside both plans that there are for them, each without
 * anything around it: the bare library with a callback, and a look at each match.
 */
import type { SearchQuery } from '../../src/engine/engine.js';
import { defined } from '../../src/shared/assert.js';
import { encodeFilter } from '../../src/shared/codec/filter-bytes.js';
import { atLeast, atMost } from '../harness/bars.js';
import { inTurn, NEIGHBOURS, rowOfId } from '../harness/dataset.js';
import { type EngineShard, searchQuery } from '../harness/engine-shard.js';
import { ExactScan } from '../harness/exact-scan.js';
import { runInTurns } from '../harness/load.js';
import type { Bar, Figure } from '../harness/scenario.js';
import { recallOf, round } from '../harness/statistics.js';
import { type Findings, INFLIGHT } from './findings.js';
import type { Subject } from './subject.js';

const PERCENTS = [100, 50, 10, 5, 1, 0.1];
const RECALL_MIN = 0.99;
/** How many times as long as the better of the two plans and a call that does nothing. */
const TIMES_MAX = 3;
/** Exact neighbours among all matches take their time. */
const QUERIES_MAX = 50;

interface Selection {
  readonly percent: number;
  readonly isSelected: (row: number) => boolean;
  readonly rows: Uint32Array;
  /** Bytes of the filter that the engine gets. */
  readonly filter: Uint8Array;
}

/** With the smallest of `efs` with which the engine finds enough where there is no filter. */
export async function measureFilteredSearches(
  subject: Subject,
  efs: readonly number[],
): Promise<Partial<Findings>> {
  const { dataset, ranks } = subject;
  const ef = await efForRecall(subject, efs);
  const scan = new ExactScan(dataset.base, dataset.dimension);
  const figures: Figure[] = [];
  const bars: Bar[] = [];
  for (const percent of PERCENTS) {
    subject.progress(`filtered searches, ${percent} % match`);
    const selection = selectionOf(ranks, percent);
    const [engine, ...others] = await measureSelection({ subject, scan, ef, selection });
    figures.push(engine as Figure, ...others);
    const { name, recall = 0 } = engine as Figure;
    const [searchUs, callbackUs, scanUs, emptyUs] = [engine as Figure, ...others].map(callUs);
    const wanted = Math.min(callbackUs as number, scanUs as number) + (emptyUs as number);
    const times = (searchUs as number) / wanted;
    bars.push(
      atMost(
        { name: `${name}: time by the better plan's and an empty call's`, value: times, unit: 'x' },
        TIMES_MAX,
      ),
      atLeast({ name: `${name}: recall@10`, value: recall, unit: '' }, RECALL_MIN),
    );
  }
  return { figures, bars };
}

/** The largest of them where none is enough. */
async function efForRecall({ shard, dataset }: Subject, efs: readonly number[]): Promise<number> {
  const vectors = dataset.queries.slice(0, QUERIES_MAX);
  const ascending = [...efs].sort((a, b) => a - b);
  for (const ef of ascending) {
    const found = await foundBy(
      shard,
      vectors.map((one) => searchQuery(one, { k: NEIGHBOURS, ef })),
    );
    if (recallOf(found, dataset.neighbours.slice(0, QUERIES_MAX)) >= RECALL_MIN) return ef;
  }
  return defined(ascending.at(-1), 'an ef');
}

async function foundBy(shard: EngineShard, queries: readonly SearchQuery[]): Promise<number[][]> {
  const found: number[][] = [];
  for (const query of queries) {
    found.push((await shard.search(query)).map(({ id }) => rowOfId(id)));
  }
  return found;
}

function callUs({ perSecond = 0 }: Figure): number {
  return 1e6 / perSecond;
}

function selectionOf(ranks: readonly number[], percent: number): Selection {
  const below = percent / 100;
  const isSelected = (row: number): boolean => (ranks[row] as number) < below;
  return {
    percent,
    isSelected,
    rows: Uint32Array.from(ranks.keys()).filter(isSelected),
    filter: encodeFilter({ rank: { $lt: below } }),
  };
}

interface Measured {
  readonly subject: Subject;
  readonly scan: ExactScan;
  readonly ef: number;
  readonly selection: Selection;
}

/** Of the engine, the two plans, and the way to its thread and back, with nothing to do there. */
async function measureSelection({ subject, scan, ef, selection }: Measured): Promise<Figure[]> {
  const { name, dataset, plainQueries, bare, shard, effort } = subject;
  const { percent, isSelected, rows, filter } = selection;
  const vectors = dataset.queries.slice(0, QUERIES_MAX);
  const plain = plainQueries.slice(0, QUERIES_MAX);
  const queries = vectors.map((one) => searchQuery(one, { k: NEIGHBOURS, ef, filter }));
  const truth = vectors.map((vector) => scan.nearest(vector, NEIGHBOURS, rows));
  const found = await foundBy(shard, queries);
  const bareFound = plain.map((query) => bare.search(query, NEIGHBOURS, ef, isSelected));
  const match = `${name}, ${percent} % match`;
  const bareName = `${match}: library with a callback`;
  const scanName = `${match}: each match`;
  const figures = await runInTurns(
    [
      {
        name: `${match}: search, ef ${ef}`,
        inflight: INFLIGHT,
        ratiosOf: [bareName, scanName],
        call: (sequence) => shard.search(inTurn(queries, sequence)),
      },
      {
        name: bareName,
        inflight: 1,
        call: (sequence) => bare.search(inTurn(plain, sequence), NEIGHBOURS, ef, isSelected),
      },
      {
        name: scanName,
        inflight: 1,
        call: (sequence) => scan.nearest(inTurn(vectors, sequence), NEIGHBOURS, rows),
      },
      {
        name: `${match}: empty call`,
        inflight: INFLIGHT,
        call: () => shard.count(),
      },
    ],
    effort.turns,
  );
  const recalls = [recallOf(found, truth), recallOf(bareFound, truth)];
  return figures.map((figure, at) => {
    const recall = recalls[at];
    return recall === undefined ? figure : { ...figure, recall: round(recall, 4) };
  });
}
