/**
 * What a shard's engine costs above its graph: applies, searches and ingest of the engine in this
 * thread and in a thread of its own, on LevelDB, beside inserts and searches of the bare index.
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
import { LIMITS } from '../../src/shared/limits.js';
import { startBuiltEngineThread } from '../harness/built-engine-thread.js';

const POINTS = Number(argv[2] ?? 20_000);
const DIMENSION = Number(argv[3] ?? 128);
const RECORDS_PER_ENTRY = 100;
/** Of the ingest beside searches. */
const RECORDS_PER_SMALL_ENTRY = 32;
const SEARCHES = 4_000;
const IN_FLIGHT = 16;
const K = 10;
const OPTIONS = { dimension: DIMENSION, metric: 'cosine', m: 16, efConstruction: 200 } as const;
const GENESIS: ShardGenesis = { shardId: 1, ownershipVersion: 1, slots: [0] };
const SCOPE = { collectionId: 1, ownershipVersion: 1 };

const clock: Clock = { wallMs: () => 0, monotonicMs: () => performance.now() };
/** What an engine does when it has rested for long is not measured. */
const never = () => ({ cancel: () => undefined });
const scheduler: Scheduler = { after: never, every: never, soon: (task) => setImmediate(task) };

interface Row {
  readonly what: string;
  readonly figure: string;
}

const rows: Row[] = [];

function report(what: string, value: number, unit: string): void {
  rows.push({ what, figure: `${Math.round(value).toLocaleString('en')} ${unit}` });
}

function reportShare(what: string, share: number): void {
  rows.push({ what, figure: `${(100 * share).toFixed(1)} %` });
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

/** What the engine's figures are held against. */
interface Bare {
  readonly insertUs: number;
  readonly searchesPerSecond: number;
}

function benchBareIndex(vectors: readonly Float32Array[]): Bare {
  const index = new HnswIndex(OPTIONS);
  let startMs = performance.now();
  for (const [label, vector] of vectors.entries()) index.add(label, vector);
  const insertUs = (1_000 * (performance.now() - startMs)) / POINTS;
  report('bare index: insert', insertUs, 'us');
  for (let at = 0; at < SEARCHES; at++) {
    index.search(defined(vectors[at % POINTS], 'vector'), K, EF_DEFAULT);
  }
  startMs = performance.now();
  for (let at = 0; at < SEARCHES; at++) {
    index.search(defined(vectors[at % POINTS], 'vector'), K, EF_DEFAULT);
  }
  const searchesPerSecond = (1_000 * SEARCHES) / (performance.now() - startMs);
  report('bare index: searches', searchesPerSecond, '/s');
  index.dispose();
  return { insertUs, searchesPerSecond };
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

/** The engine, entries being written to it. */
class Ingest {
  readonly #engine: Engine;
  #index = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async apply(command: Command): Promise<void> {
    this.#index += 1;
    const entry = { index: this.#index, term: 1, data: encodeCommand(command) };
    await this.#engine.apply([entry], this.#index);
  }

  /** Writes the vectors in entries, under ids from `first` on; returns how long each took. */
  async write(
    vectors: readonly Float32Array[],
    recordsPerEntry: number,
    first = 0,
  ): Promise<number[]> {
    const timesUs: number[] = [];
    for (let at = 0; at < vectors.length; at += recordsPerEntry) {
      const command = writeCommand(vectors.slice(at, at + recordsPerEntry), first + at);
      const startMs = performance.now();
      await this.apply(command);
      timesUs.push(1_000 * (performance.now() - startMs));
    }
    return timesUs;
  }

  /** Resolves when every record is in the graph. */
  async settled(): Promise<void> {
    for (;;) {
      const { collections } = await this.#engine.stats();
      if (collections.every(({ headRows, isRenewing }) => headRows === 0 && !isRenewing)) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

async function benchEngine(
  name: string,
  engine: Engine,
  vectors: readonly Float32Array[],
  bare: Bare,
): Promise<void> {
  await engine.open();
  const ingest = new Ingest(engine);
  const config = { name: 'bench', ...OPTIONS, indexedFields: [] };
  await ingest.apply({ kind: 'createCollection', collectionId: 1, config });
  const startMs = performance.now();
  // Half of what the head holds, twice, the first time to warm up; then what has to wait for it.
  const free = Math.floor(LIMITS.headFloatsMax.value / DIMENSION / 2);
  await ingest.write(vectors.slice(0, free), RECORDS_PER_ENTRY);
  await ingest.settled();
  const measured = vectors.slice(free, 2 * free);
  const appliesUs = await ingest.write(measured, RECORDS_PER_ENTRY, free);
  const applyUs = percentile(appliesUs, 0.5);
  report(`${name}: apply of ${RECORDS_PER_ENTRY} records, p50`, applyUs, 'us');
  reportShare(`${name}: its share of their inserts`, applyUs / (RECORDS_PER_ENTRY * bare.insertUs));
  await ingest.write(vectors.slice(2 * free), RECORDS_PER_ENTRY, 2 * free);
  await ingest.settled();
  report(`${name}: ingest`, (1_000 * POINTS) / (performance.now() - startMs), 'records/s');
  const queries = vectors.map((vector): SearchQuery => {
    const include = { includeValues: false, includeMetadata: false };
    return { vector: floatBytes(vector), k: K, ef: 0, ...include };
  });
  await benchSearches(name, engine, queries, bare);
  // In this thread a caller that never waits for anything else would keep the writer out.
  if (engine instanceof ThreadEngine) await benchMixedLoad(name, engine, ingest, vectors, queries);
  await engine.close();
}

async function benchSearches(
  name: string,
  engine: Engine,
  queries: readonly SearchQuery[],
  bare: Bare,
): Promise<void> {
  const enough = (searches: number): boolean => searches >= SEARCHES;
  await searchWhile(engine, queries, enough);
  const idle = await searchWhile(engine, queries, enough);
  report(`${name}: search, p50`, percentile(idle, 0.5), 'us');
  report(`${name}: search, p99`, percentile(idle, 0.99), 'us');
  const startMs = performance.now();
  const each = (searches: number): boolean => searches >= SEARCHES / 4;
  await Promise.all(Array.from({ length: IN_FLIGHT }, () => searchWhile(engine, queries, each)));
  const perSecond = (250 * IN_FLIGHT * SEARCHES) / (performance.now() - startMs);
  report(`${name}: searches, ${IN_FLIGHT} in flight`, perSecond, '/s');
  reportShare(`${name}: their share of the bare index`, perSecond / bare.searchesPerSecond);
}

/** Searches one at a time while the same records are written again. */
async function benchMixedLoad(
  name: string,
  engine: Engine,
  ingest: Ingest,
  vectors: readonly Float32Array[],
  queries: readonly SearchQuery[],
): Promise<void> {
  let isWritten = false;
  const searching = searchWhile(engine, queries, () => isWritten);
  const part = vectors.slice(0, POINTS / 4);
  const applies = await ingest.write(part, RECORDS_PER_SMALL_ENTRY);
  isWritten = true;
  const mixed = await searching;
  report(`${name}: search while writing, p50`, percentile(mixed, 0.5), 'us');
  report(`${name}: search while writing, p99`, percentile(mixed, 0.99), 'us');
  report(`${name}: apply while searching, p50`, percentile(applies, 0.5), 'us');
  await ingest.settled();
}

const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
const vectors = makeVectors();
const bare = benchBareIndex(vectors);
const environment = { clock, scheduler, disk: new RealDisk() };
const inThread = new ShardEngine({
  environment,
  path: join(directory, 'here'),
  genesis: GENESIS,
});
await benchEngine('engine', inThread, vectors, bare);
const threaded = new ThreadEngine({
  spawn: startBuiltEngineThread,
  path: join(directory, 'thread'),
  genesis: GENESIS,
});
await benchEngine('engine in a thread', threaded, vectors, bare);
rmSync(directory, { recursive: true });
console.log(`${POINTS} points of ${DIMENSION} floats`);
console.table(rows);
