/**
 * What a shard's engine costs above its graph: inserts and searches of the bare HNSW index, of the
 * engine in this thread, and of the engine in a thread of its own, on LevelDB.
 *
 * Run compiled. Arguments: points (20,000) and dimension (128).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import type { Engine, SearchQuery, ShardGenesis } from '../../src/engine/engine.js';
import { ThreadEngine } from '../../src/engine/engine-client.js';
import { HnswIndex } from '../../src/engine/index/hnsw-index.js';
import { EF_DEFAULT } from '../../src/engine/search.js';
import { ShardEngine } from '../../src/engine/shard-engine.js';
import { RealDisk } from '../../src/node/real-disk.js';
import { defined } from '../../src/shared/assert.js';
import { floatBytes } from '../../src/shared/bytes.js';
import { type Command, encodeCommand } from '../../src/shared/codec/command.js';
import type { Clock, Scheduler } from '../../src/shared/environment.js';
import { startBuiltEngineThread } from '../harness/built-engine-thread.js';

const POINTS = Number(argv[2] ?? 20_000);
const DIMENSION = Number(argv[3] ?? 128);
const RECORDS_PER_ENTRY = 32;
const SEARCHES = 2_000;
const K = 10;
const OPTIONS = { dimension: DIMENSION, metric: 'cosine', m: 16, efConstruction: 200 } as const;
const GENESIS: ShardGenesis = { shardId: 1, ownershipVersion: 1, slots: [0] };
const SCOPE = { collectionId: 1, ownershipVersion: 1 };

const clock: Clock = { wallMs: () => 0, monotonicMs: () => performance.now() };
const noTimer = (): never => {
  throw new Error('engines have no timers');
};
const scheduler: Scheduler = { after: noTimer, every: noTimer, soon: (task) => setImmediate(task) };

interface Row {
  readonly what: string;
  readonly figure: string;
}

const rows: Row[] = [];

function report(what: string, value: number, unit: string): void {
  rows.push({ what, figure: `${Math.round(value).toLocaleString('en')} ${unit}` });
}

function makeVectors(): Float32Array[] {
  const centres = Array.from({ length: 200 }, () =>
    Float32Array.from({ length: DIMENSION }, () => Math.random() * 2 - 1),
  );
  return Array.from({ length: POINTS }, (_, at) =>
    defined(centres[at % 200], 'centre').map((value) => value + Math.random() * 0.6 - 0.3),
  );
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return defined(sorted[Math.floor(share * (sorted.length - 1))], 'a measurement');
}

function benchBareIndex(vectors: readonly Float32Array[]): void {
  const index = new HnswIndex(OPTIONS);
  let startMs = performance.now();
  for (const [label, vector] of vectors.entries()) index.add(label, vector);
  report('bare index: inserts', (1_000 * POINTS) / (performance.now() - startMs), '/s');
  startMs = performance.now();
  for (let at = 0; at < SEARCHES; at++) {
    index.search(defined(vectors[at % POINTS], 'vector'), K, EF_DEFAULT);
  }
  report('bare index: searches', (1_000 * SEARCHES) / (performance.now() - startMs), '/s');
  index.dispose();
}

function writeCommand(vectors: readonly Float32Array[], first: number): Command {
  return {
    kind: 'write',
    ...SCOPE,
    requestKey: {
      clientId: 'bench',
      clientStampMs: 0,
      sequence: first + 1,
      lowestUnanswered: first,
    },
    operations: vectors.map((vector, ordinal) => ({
      kind: 'upsert',
      ordinal,
      slot: 0,
      tenant: '',
      id: `record-${first + ordinal}`,
      values: floatBytes(vector),
      metadata: new Uint8Array(),
    })),
  };
}

/** Searches one after the other until `isDone`; returns the latencies. */
async function searchWhile(
  engine: Engine,
  queries: readonly SearchQuery[],
  isDone: (searches: number) => boolean,
): Promise<number[]> {
  const latenciesUs: number[] = [];
  while (!isDone(latenciesUs.length)) {
    const startMs = performance.now();
    await engine.search(SCOPE, [defined(queries[latenciesUs.length % POINTS], 'query')]);
    latenciesUs.push(1_000 * (performance.now() - startMs));
  }
  return latenciesUs;
}

async function benchEngine(
  name: string,
  engine: Engine,
  vectors: readonly Float32Array[],
): Promise<void> {
  await engine.open();
  let index = 0;
  const apply = async (command: Command): Promise<void> => {
    index += 1;
    await engine.apply([{ index, term: 1, data: encodeCommand(command) }], index);
  };
  const config = { name: 'bench', ...OPTIONS, indexedFields: [] };
  await apply({ kind: 'createCollection', collectionId: 1, config });
  const half = Math.floor(POINTS / 2);
  let startMs = performance.now();
  for (let at = 0; at < half; at += RECORDS_PER_ENTRY) {
    await apply(writeCommand(vectors.slice(at, Math.min(half, at + RECORDS_PER_ENTRY)), at));
  }
  report(`${name}: inserts`, (1_000 * half) / (performance.now() - startMs), '/s');

  const queries = vectors.map((vector): SearchQuery => {
    const include = { includeValues: false, includeMetadata: false };
    return { vector: floatBytes(vector), k: K, ef: 0, ...include };
  });
  const enough = (searches: number): boolean => searches >= SEARCHES;
  const idle = await searchWhile(engine, queries, enough);
  report(`${name}: search, p50`, percentile(idle, 0.5), 'us');
  report(`${name}: search, p99`, percentile(idle, 0.99), 'us');
  startMs = performance.now();
  await Promise.all(Array.from({ length: 16 }, () => searchWhile(engine, queries, enough)));
  const perSecond = (1_000 * 16 * SEARCHES) / (performance.now() - startMs);
  report(`${name}: searches, 16 in flight`, perSecond, '/s');

  // In this thread a caller that never waits for anything else would keep the writer out.
  if (!(engine instanceof ThreadEngine)) return engine.close();
  let written = false;
  const mixed = searchWhile(engine, queries, () => written);
  for (let at = half; at < POINTS; at += RECORDS_PER_ENTRY) {
    await apply(writeCommand(vectors.slice(at, at + RECORDS_PER_ENTRY), at));
  }
  written = true;
  report(`${name}: search while writing, p99`, percentile(await mixed, 0.99), 'us');
  await engine.close();
}

const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
const vectors = makeVectors();
benchBareIndex(vectors);
const environment = { clock, scheduler, disk: new RealDisk() };
const inThread = new ShardEngine({
  environment,
  path: join(directory, 'here'),
  genesis: GENESIS,
});
await benchEngine('engine', inThread, vectors);
const threaded = new ThreadEngine({
  spawn: startBuiltEngineThread,
  path: join(directory, 'thread'),
  genesis: GENESIS,
});
await benchEngine('engine in a thread', threaded, vectors);
rmSync(directory, { recursive: true });
console.log(`${POINTS} points of ${DIMENSION} floats, ${RECORDS_PER_ENTRY} records an entry`);
console.table(rows);
