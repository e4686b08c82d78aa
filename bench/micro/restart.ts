/**
 * What a restart of an engine is made of, in this thread: the records that it reads before it
 * answers, and its graph, loaded from a checkpoint or made anew beside the answers. The files are
 * in the system's cache: what is measured is the engine, not the disk.
 *
 * Run compiled. Arguments: records (100,000), dimension (128).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import { CHECKPOINT_POLICY } from '../../src/engine/checkpoint/checkpoint-policy.js';
import { Generations } from '../../src/engine/generations.js';
import { PointStore } from '../../src/engine/point-store.js';
import { ShardEngine } from '../../src/engine/shard-engine.js';
import { damagedTable } from '../../src/engine/table-check.js';
import { NO_NETWORK, realEnvironment } from '../../src/node/real-environment.js';
import { defined } from '../../src/shared/assert.js';
import { clusteredVectors } from '../../test/support/vectors.js';
import { idOfRow } from '../harness/dataset.js';
import { EngineShard, SHARD_GENESIS, searchQuery } from '../harness/engine-shard.js';
import { median } from '../harness/statistics.js';

const RECORDS = Number(argv[2] ?? 100_000);
const DIMENSION = Number(argv[3] ?? 128);
const RECORDS_PER_ENTRY = 100;
const QUERIES = 100;
const RUNS = 3;
const POLL_MS = 2;
const NEVER = { insertsMin: Number.POSITIVE_INFINITY, closingInsertsMin: Number.POSITIVE_INFINITY };

const environment = realEnvironment(NO_NETWORK);
const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
const path = join(directory, 'points');
const query = searchQuery(new Float32Array(DIMENSION).fill(0.1), { k: 10, ef: 64 });

interface Restart {
  readonly openMs: number;
  readonly firstAnswerMs: number;
  readonly fullSpeedMs: number;
  /** Longest that the thread was kept from other work, from the open on. */
  readonly longestTurnMs: number;
}

function engine(checkpoints = CHECKPOINT_POLICY): ShardEngine {
  return new ShardEngine({ environment, path, genesis: SHARD_GENESIS, checkpoints });
}

async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function fill(): Promise<void> {
  const shard = new EngineShard(engine(NEVER));
  await shard.open();
  await shard.createCollection({ dimension: DIMENSION, m: 16, efConstruction: 200 });
  const vectors = clusteredVectors({ count: RECORDS, dimension: DIMENSION, seed: 7 });
  await shard.writeAll(
    vectors.map((values, row) => ({ id: idOfRow(row), values })),
    RECORDS_PER_ENTRY,
  );
  await shard.settled();
  await shard.close();
}

async function restart(): Promise<Restart> {
  const shard = new EngineShard(engine(NEVER));
  const startMs = performance.now();
  await shard.open();
  const openMs = performance.now() - startMs;
  await shard.search(query);
  const firstAnswerMs = performance.now() - startMs;
  let lastMs = performance.now();
  let longestTurnMs = 0;
  for (;;) {
    const { headRows } = await shard.stats();
    const nowMs = performance.now();
    longestTurnMs = Math.max(longestTurnMs, nowMs - lastMs - POLL_MS);
    if (headRows === 0) break;
    lastMs = nowMs;
    await wait(POLL_MS);
  }
  const fullSpeedMs = performance.now() - startMs;
  await shard.close();
  return { openMs, firstAnswerMs, fullSpeedMs, longestTurnMs };
}

/** The parts of an open that can be told apart. */
async function readingMs(): Promise<Record<string, number>> {
  const { disk } = environment;
  const tables = await timedMs(() => damagedTable(disk, join(path, 'points-1')));
  const { kv } = await new Generations(disk, path).open();
  const store = new PointStore(kv);
  const raw = await timedMs(async () => {
    for await (const page of kv.scan({ gte: Uint8Array.of(16), lt: Uint8Array.of(17) })) {
      defined(page[0], 'entry');
    }
  });
  const records = await timedMs(async () => {
    for await (const page of store.allRecords(1)) defined(page[0], 'record');
  });
  await store.close();
  return {
    'checksums of the tables': tables,
    'reading the database': raw,
    'checksums and keys of the records': records - raw,
  };
}

function graphMs({ openMs, fullSpeedMs }: Restart): number {
  return fullSpeedMs - openMs;
}

function report(name: string, restarts: readonly Restart[]): void {
  const middle = (of: (one: Restart) => number): number => Math.round(median(restarts.map(of)));
  console.table({
    [name]: {
      'open ms': middle((one) => one.openMs),
      'first answer ms': middle((one) => one.firstAnswerMs),
      'graph alone ms': middle(graphMs),
      'full speed ms': middle((one) => one.fullSpeedMs),
      'longest turn ms': middle((one) => one.longestTurnMs),
    },
  });
}

async function search(shard: EngineShard): Promise<number> {
  return timedMs(async () => {
    for (let at = 0; at < QUERIES; at++) await shard.search(query);
  });
}

try {
  await fill();
  const rebuilds = [await restart()];
  report('rebuild', rebuilds);
  // The close of an engine whose graph was made anew writes it.
  const saving = new EngineShard(engine());
  await saving.open();
  await saving.settled();
  console.log(`a search: ${((1_000 * (await search(saving))) / QUERIES).toFixed(0)} us`);
  console.log(`close with a checkpoint: ${(await timedMs(() => saving.close())).toFixed(0)} ms`);
  const restarts: Restart[] = [];
  for (let run = 0; run < RUNS; run++) restarts.push(await restart());
  report('from a checkpoint', restarts);
  const times = (of: (one: Restart) => number): string =>
    (median(rebuilds.map(of)) / median(restarts.map(of))).toFixed(1);
  console.log(`until full speed, in all: ${times((one) => one.fullSpeedMs)} times as fast`);
  console.log(`from the open on: ${times(graphMs)} times as fast`);
  console.table(await readingMs());
} finally {
  rmSync(directory, { recursive: true });
}
