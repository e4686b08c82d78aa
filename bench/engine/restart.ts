/**
 * How long an engine takes from its start to its first answer, and until its graph is whole: after
 * a close, which saves the graph, and after a kill, where what came since the last checkpoint has
 * to be inserted again; alone, and with searches beside it.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHistogram } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { BareIndex } from '../harness/bare-index.js';
import { atLeast } from '../harness/bars.js';
import { type Dataset, idOfRow, inTurn, NEIGHBOURS } from '../harness/dataset.js';
import { EngineShard, searchQuery } from '../harness/engine-shard.js';
import type { Quantiles, Quantity } from '../harness/scenario.js';
import { median, quantilesMs } from '../harness/statistics.js';
import { type Effort, type Findings, GRAPH } from './findings.js';
import type { KilledWrites } from './killed-child.js';

const RECORDS_PER_ENTRY = 100;
/** A graph that is loaded should be there so many times sooner than one that is made. */
const TIMES_MIN = 10;
/** Written before the kill, after the last checkpoint: too few for another one. */
const UNSAVED_SHARE = 0.05;
/** Searches go to vectors that lie far apart in the order in which they came. */
const STRIDE = 7_919;

interface RestartCase {
  /** Goes on with the names of the figures. */
  readonly when: string;
  /** Whether the process before was, after some writes; else the engine was closed. */
  readonly isKilled: boolean;
  /** Whether there are searches from the first answer on, one after the other. */
  readonly isSearched: boolean;
}

/** The first is what the bar is about. */
const CASES: readonly RestartCase[] = [
  { when: '', isKilled: false, isSearched: false },
  { when: ', searched', isKilled: false, isSearched: true },
  { when: ' after a kill', isKilled: true, isSearched: false },
  { when: ' after a kill, searched', isKilled: true, isSearched: true },
];

export interface RestartOptions {
  readonly dataset: Dataset;
  readonly effort: Effort;
  readonly progress: (line: string) => void;
}

interface Restart {
  readonly openMs: number;
  /** Counted from the start of the thread, as the others. */
  readonly firstAnswerMs: number;
  readonly fullSpeedMs: number;
  /** Of the searches one after the other until then, where there were any. */
  readonly searchMs?: Quantiles | undefined;
}

const MOMENTS = [
  ['openMs', 'open'],
  ['firstAnswerMs', 'first answer'],
  ['fullSpeedMs', 'all records in the graph'],
] as const;

/**
 * A rebuild is counted as the inserts of the bare library alone, which is less than what it takes.
 * The files are in the system's cache: what is measured is the engine, not the disk.
 */
export async function measureRestart(options: RestartOptions): Promise<Partial<Findings>> {
  const { dataset, effort, progress } = options;
  const { base, dimension } = dataset;
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  try {
    const path = join(directory, 'points');
    progress(`restart: filling ${base.length} records`);
    await fill(path, dataset);
    const restarts = CASES.map((): Restart[] => []);
    for (let run = 0; run < effort.runs; run++) {
      progress(`restart: run ${run + 1} of ${effort.runs}`);
      for (const [at, one] of CASES.entries()) {
        restarts[at]?.push(await (one.isKilled ? restartKilled : restart)(path, dataset, one));
      }
    }
    progress('restart: inserts of the bare library');
    const bare = new BareIndex({ dimension, ...GRAPH, capacity: base.length });
    const name = `restart at ${base.length} x ${dimension}`;
    const insertsMs = bare.insertAll(base);
    const times = {
      name: `${name}: rebuild by restart`,
      value: insertsMs / median((restarts[0] ?? []).map(({ fullSpeedMs }) => fullSpeedMs)),
      unit: 'x',
    };
    return {
      quantities: [
        ...CASES.flatMap(({ when }, at) => quantitiesOf(`${name}${when}`, restarts[at] ?? [])),
        { name: `${name}: inserts into the bare library`, value: insertsMs, unit: 'ms' },
      ],
      bars: [atLeast(times, TIMES_MIN)],
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function quantitiesOf(name: string, restarts: readonly Restart[]): Quantity[] {
  const quantity = (what: string, values: readonly number[]): Quantity => {
    return { name: `${name}: ${what}`, value: median(values), unit: 'ms' };
  };
  const searches = restarts.flatMap(({ searchMs }) => searchMs ?? []);
  const untilThen = (quantile: 'p50' | 'p99'): Quantity[] => {
    const values = searches.map((one) => one[quantile]);
    return values.length === 0 ? [] : [quantity(`search until then, ${quantile}`, values)];
  };
  return [
    ...MOMENTS.map(([key, what]) => {
      const values = restarts.map((one) => one[key]);
      return quantity(what, values);
    }),
    ...untilThen('p50'),
    ...untilThen('p99'),
  ];
}

async function fill(path: string, { base, dimension }: Dataset): Promise<void> {
  const shard = EngineShard.inThread(path);
  await shard.open();
  await shard.createCollection({ dimension, ...GRAPH });
  const records = base.map((values, row) => ({ id: idOfRow(row), values }));
  await shard.writeAll(records, RECORDS_PER_ENTRY);
  await shard.settled();
  await shard.close();
}

/** Restarts a copy of the store that a process has written to and was killed. */
async function restartKilled(path: string, dataset: Dataset, load: RestartCase): Promise<Restart> {
  const { base, dimension } = dataset;
  const copy = `${path}-killed`;
  cpSync(path, copy, { recursive: true });
  try {
    await writeAndDie({
      path: copy,
      dimension,
      records: Math.ceil(UNSAVED_SHARE * base.length),
      firstRow: base.length,
      recordsPerEntry: RECORDS_PER_ENTRY,
    });
    return await restart(copy, dataset, load);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

async function writeAndDie(writes: KilledWrites): Promise<void> {
  const path = fileURLToPath(new URL('./killed-child.js', import.meta.url));
  const child = fork(path, [JSON.stringify(writes)]);
  const ended = once(child, 'exit');
  const [ending] = await Promise.race([once(child, 'message'), ended]);
  if (ending !== 'written') throw new Error(`the process to be killed ended by itself: ${ending}`);
  child.kill('SIGKILL');
  await ended;
}

async function restart(
  path: string,
  { base, queries }: Dataset,
  { isSearched }: RestartCase,
): Promise<Restart> {
  const startMs = performance.now();
  const passedMs = (): number => performance.now() - startMs;
  const shard = EngineShard.inThread(path);
  try {
    await shard.open();
    const openMs = passedMs();
    await shard.search(searchQuery(inTurn(queries, 0), { k: NEIGHBOURS, ef: 0 }));
    const firstAnswerMs = passedMs();
    let isOver = false;
    const settling = shard.settled().finally(() => {
      isOver = true;
    });
    const searching = isSearched ? searchUntil(shard, base, () => isOver) : undefined;
    const [fullSpeedMs, searchMs] = await Promise.all([settling.then(passedMs), searching]);
    return { openMs, firstAnswerMs, fullSpeedMs, searchMs };
  } finally {
    await shard.close();
  }
}

/** One after the other, at least one. */
async function searchUntil(
  shard: EngineShard,
  vectors: readonly Float32Array[],
  isOver: () => boolean,
): Promise<Quantiles> {
  const histogramUs = createHistogram();
  for (let sequence = 0; sequence === 0 || !isOver(); sequence++) {
    const vector = inTurn(vectors, sequence * STRIDE);
    const sentMs = performance.now();
    await shard.search(searchQuery(vector, { k: NEIGHBOURS, ef: 0 }));
    histogramUs.record(Math.max(1, Math.round((performance.now() - sentMs) * 1_000)));
  }
  return quantilesMs(histogramUs);
}
