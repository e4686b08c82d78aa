/** The way of one shard's state to another node, part by part. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { clusteredVectors } from '../../test/support/vectors.js';
import type { Findings } from '../engine/findings.js';
import { atLeast, atMost } from '../harness/bars.js';
import { idOfRow, inTurn } from '../harness/dataset.js';
import { EngineShard } from '../harness/engine-shard.js';
import { BUSY_MAX_MS, MainThreadWatch, together } from '../harness/main-thread-watch.js';
import type { Quantity } from '../harness/scenario.js';
import { median, perSecond } from '../harness/statistics.js';
import { SnapshotSource } from './source.js';

const RECORDS_PER_ENTRY = 32;
/** Written again beside a snapshot. The others are not kept: the main thread of a node has none. */
const VECTORS_KEPT = 1_024;
const GRAPH = { m: 16, efConstruction: 100 };
const STREAM_MIN_MB = 100;
const BYTES_PER_MB = 1e6;

export interface SnapshotSize {
  readonly dimension: number;
  readonly records: number;
  readonly runs: number;
}

interface Rates {
  /** MB a second. */
  readonly write: number[];
  readonly stream: number[];
  readonly install: number[];
  /** Until the graph serves that came along. */
  readonly graphMs: number[];
}

export async function measureSnapshot(
  { dimension, records, runs }: SnapshotSize,
  progress: (line: string) => void,
): Promise<Partial<Findings>> {
  const name = `${records} x ${dimension}`;
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  progress(`${name}: writing the records, and their graph`);
  const path = join(directory, 'source');
  const vectors = await fill(path, records, dimension);
  const shard = EngineShard.inThread(path);
  const source = await SnapshotSource.start(directory, shard);
  const watch = new MainThreadWatch();
  const rates: Rates = { write: [], stream: [], install: [], graphMs: [] };
  try {
    await shard.open();
    await shard.settled();
    let sizeBytes = 0;
    for (let run = 0; run < runs; run++) {
      progress(`${name}: run ${run + 1} of ${runs}`);
      sizeBytes = await measureTransfer(source, watch, rates, records);
    }
    progress(`${name}: with writes going on`);
    const beside = await watch.during(() => measureBeside(shard, vectors, source));
    const busyness = together([watch.seen, source.target.busyness]);
    const quantity = (what: string, value: number, unit: string): Quantity => {
      return { name: `${name}: ${what}`, value, unit };
    };
    const stream = quantity('sent to staged files', median(rates.stream), 'MB/s');
    const busy = `stretches of over ${BUSY_MAX_MS} ms of both main threads`;
    return {
      quantities: [
        quantity('size', sizeBytes / BYTES_PER_MB, 'MB'),
        quantity('written', median(rates.write), 'MB/s'),
        quantity('installed', median(rates.install), 'MB/s'),
        quantity('from the install to the graph', median(rates.graphMs), 'ms'),
        quantity('writes without it', beside.before, 'records/s'),
        quantity('writes while it is written', beside.meanwhile, 'records/s'),
        quantity('longest stretch of a main thread', busyness.longestMs, 'ms'),
      ],
      bars: [atLeast(stream, STREAM_MIN_MB), atMost(quantity(busy, busyness.count, ''), 0)],
    };
  } finally {
    await source.stop();
    await shard.close();
    rmSync(directory, { recursive: true });
  }
}

/**
 * Writes the records; the first of their vectors. The close leaves a checkpoint of the graph, which
 * a snapshot takes along.
 */
async function fill(path: string, records: number, dimension: number): Promise<Float32Array[]> {
  const vectors = clusteredVectors({ count: records, dimension, seed: 11 });
  const shard = EngineShard.inThread(path);
  await shard.open();
  await shard.createCollection({ dimension, ...GRAPH });
  const rows = vectors.map((values, row) => ({ id: idOfRow(row), values }));
  await shard.writeAll(rows, RECORDS_PER_ENTRY);
  await shard.settled();
  await shard.close();
  return vectors.slice(0, VECTORS_KEPT);
}

/** Writes a snapshot, sends it, and has it installed; its size. */
async function measureTransfer(
  source: SnapshotSource,
  watch: MainThreadWatch,
  rates: Rates,
  records: number,
): Promise<number> {
  const rate = (sizeBytes: number, ms: number): number => perSecond(sizeBytes / BYTES_PER_MB, ms);
  await source.clear();
  const written = await watch.during(() => timed(() => source.write()));
  const { sizeBytes } = written.value;
  rates.write.push(rate(sizeBytes, written.ms));
  await source.target.call({ kind: 'watch' });
  const sent = await watch.during(() => timed(() => source.send(written.value)));
  rates.stream.push(rate(sizeBytes, sent.ms));
  const { installMs, graphMs } = await source.target.call({ kind: 'install', records });
  rates.install.push(rate(sizeBytes, installMs));
  rates.graphMs.push(graphMs);
  return sizeBytes;
}

/** Records a second that are written while a snapshot is, and for as long without one. */
async function measureBeside(
  shard: EngineShard,
  vectors: readonly Float32Array[],
  source: SnapshotSource,
): Promise<{ before: number; meanwhile: number }> {
  const alone = await timed(() => source.write());
  const before = await writesDuring(shard, vectors, wait(alone.ms));
  const meanwhile = await writesDuring(shard, vectors, source.write());
  return { before, meanwhile };
}

/** Records a second that are written, one entry after the other, until `end` settles. */
async function writesDuring(
  shard: EngineShard,
  vectors: readonly Float32Array[],
  end: Promise<unknown>,
): Promise<number> {
  let isOver = false;
  const ended = end.finally(() => {
    isOver = true;
  });
  let written = 0;
  const { ms } = await timed(async () => {
    do {
      const rows = Array.from({ length: RECORDS_PER_ENTRY }, (_, at) => {
        return (written + at) % vectors.length;
      });
      await shard.write({
        upserts: rows.map((row) => ({ id: idOfRow(row), values: inTurn(vectors, row) })),
      });
      written += RECORDS_PER_ENTRY;
    } while (!isOver);
  });
  await ended;
  return perSecond(written, ms);
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const startMs = performance.now();
  const value = await work();
  return { ms: performance.now() - startMs, value };
}
