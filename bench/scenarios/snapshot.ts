/**
 * Snapshots of one shard: how fast a worker thread's engine writes and installs them, what that
 * costs the writes that go on meanwhile, and whether the main thread is ever kept busy by it. Linux
 * only.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { clusteredVectors } from '../../test/support/vectors.js';
import { idOfRow, inTurn } from '../harness/dataset.js';
import { EngineShard, searchQuery } from '../harness/engine-shard.js';
import type { BenchContext, Measurement, Scenario } from '../harness/scenario.js';
import { median, perSecond } from '../harness/statistics.js';

const DIMENSION = 128;
const RECORDS_PER_ENTRY = 32;
const RECORDS = { quick: 2_000, full: 100_000 };
const RUNS = { quick: 1, full: 5 };
/** A main thread that is busy for longer sends its heartbeats late. */
const BUSY_MAX_MS = 5;
const MEBIBYTE = 1024 * 1024;

export const snapshot: Scenario = {
  name: 'snapshot',
  description: `writing and installing a snapshot of ${RECORDS.full} records in an engine thread`,
  run: runSnapshot,
};

/**
 * Watches the main thread: counts the stretches in which it was busy for too long. By Linux's own
 * account of the thread's CPU time, so that what other processes take does not count.
 */
class MainThreadWatch {
  #busyCount = 0;
  #busyMaxMs = 0;

  async during<T>(work: () => Promise<T>): Promise<T> {
    let beforeMs = mainThreadCpuMs();
    const timer = setInterval(() => {
      const nowMs = mainThreadCpuMs();
      const busyMs = nowMs - beforeMs;
      beforeMs = nowMs;
      if (busyMs > BUSY_MAX_MS) this.#busyCount += 1;
      this.#busyMaxMs = Math.max(this.#busyMaxMs, busyMs);
    }, 1);
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }

  toString(): string {
    const longest = `at most ${this.#busyMaxMs.toFixed(1)} ms`;
    return `main thread busy for over ${BUSY_MAX_MS} ms ${this.#busyCount} times, ${longest}`;
  }
}

/** The first field of schedstat is the time on a CPU in nanoseconds. */
function mainThreadCpuMs(): number {
  const text = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1');
  return Number(text.split(' ', 1)[0]) / 1e6;
}

async function runSnapshot({ quick, progress }: BenchContext): Promise<Measurement> {
  const records = quick ? RECORDS.quick : RECORDS.full;
  const runs = quick ? RUNS.quick : RUNS.full;
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const lines: string[] = [];
  const report = (line: string): void => {
    lines.push(line);
    progress(line);
  };
  const source = EngineShard.inThread(join(directory, 'source'));
  const target = EngineShard.inThread(join(directory, 'target'));
  try {
    progress(`writing ${records} records`);
    const vectors = clusteredVectors({ count: records, dimension: DIMENSION, seed: 11 });
    await fill(source, vectors);
    const path = join(directory, 'snapshot');
    await measureWriting({ source, vectors, path, runs, report });
    await target.open();
    await measureInstalling({ target, vectors, path, runs, records, report });
  } finally {
    await source.close();
    await target.close();
    rmSync(directory, { recursive: true });
  }
  return { parameters: { records, dimension: DIMENSION, runs }, figures: [], lines };
}

async function fill(shard: EngineShard, vectors: readonly Float32Array[]): Promise<void> {
  await shard.open();
  await shard.createCollection({ dimension: DIMENSION, m: 16, efConstruction: 100 });
  for (let at = 0; at < vectors.length; at += RECORDS_PER_ENTRY) {
    await writeEntry(shard, vectors, at);
  }
}

/** One entry of records that begins at row `first`. */
function writeEntry(
  shard: EngineShard,
  vectors: readonly Float32Array[],
  first: number,
): Promise<void> {
  const rows = Array.from({ length: RECORDS_PER_ENTRY }, (_, at) => (first + at) % vectors.length);
  return shard.write({
    upserts: rows.map((row) => ({ id: idOfRow(row), values: inTurn(vectors, row) })),
  });
}

interface Writing {
  readonly source: EngineShard;
  readonly vectors: readonly Float32Array[];
  readonly path: string;
  readonly runs: number;
  readonly report: (line: string) => void;
}

/** Alone, then with writes one after the other, whose rate is compared with that before. */
async function measureWriting({ source, vectors, path, runs, report }: Writing): Promise<void> {
  const rates: { alone: number[]; beside: number[] } = { alone: [], beside: [] };
  const writes: { before: number[]; meanwhile: number[] } = { before: [], meanwhile: [] };
  const watches = { alone: new MainThreadWatch(), before: new MainThreadWatch() };
  const besideWatch = new MainThreadWatch();
  const writeSnapshot = () => timed(() => source.engine.writeSnapshot(path));
  for (let run = 0; run < runs; run++) {
    const alone = await watches.alone.during(writeSnapshot);
    rates.alone.push(perSecond(vectors.length, alone.ms));
    writes.before.push(
      await watches.before.during(() => writesDuring(source, vectors, wait(alone.ms))),
    );
    const writing = writeSnapshot();
    writes.meanwhile.push(await besideWatch.during(() => writesDuring(source, vectors, writing)));
    const { ms, value } = await writing;
    rates.beside.push(perSecond(vectors.length, ms));
    if (run === 0) report(`size of the file: ${(value.sizeBytes / MEBIBYTE).toFixed(1)} MiB`);
  }
  report(`writing it, alone: ${rounded(rates.alone)} records/s; ${watches.alone}`);
  report(`writes without it: ${rounded(writes.before)} records/s; ${watches.before}`);
  report(`writing it, with writes going on: ${rounded(rates.beside)} records/s`);
  report(`writes while it is written: ${rounded(writes.meanwhile)} records/s; ${besideWatch}`);
}

interface Installing extends Omit<Writing, 'source'> {
  readonly target: EngineShard;
  readonly records: number;
}

/** Into an engine that is open and holds an earlier install; at the end until its graph is full. */
async function measureInstalling(options: Installing): Promise<void> {
  const { target, vectors, path, runs, records, report } = options;
  const rates: number[] = [];
  const watch = new MainThreadWatch();
  const install = () => timed(() => target.engine.installSnapshot(path));
  for (let run = 0; run < runs; run++) {
    const { ms } = await watch.during(install);
    rates.push(perSecond(records, ms));
  }
  report(`installing it: ${rounded(rates)} records/s; ${watch}`);
  const query = searchQuery(inTurn(vectors, 0), { k: 10, ef: 0 });
  const search = await timed(() => target.search(query));
  report(`a search before the graph is filled: ${search.ms.toFixed(0)} ms`);
  const before = (await target.stats()).graphPoints;
  const filling = await timed(async () => {
    while ((await target.stats()).graphPoints < records) await wait(20);
  });
  const filled = Math.round(perSecond(records - before, filling.ms)).toLocaleString('en-US');
  report(`filling the graph afterwards: ${filled} records/s`);
}

/** Records a second that are written, one entry after the other, until `end` settles. */
async function writesDuring(
  shard: EngineShard,
  vectors: readonly Float32Array[],
  end: Promise<unknown>,
): Promise<number> {
  let isOver = false;
  void end.finally(() => {
    isOver = true;
  });
  let written = 0;
  const { ms } = await timed(async () => {
    do {
      await writeEntry(shard, vectors, written);
      written += RECORDS_PER_ENTRY;
    } while (!isOver);
  });
  return perSecond(written, ms);
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const startMs = performance.now();
  const value = await work();
  return { ms: performance.now() - startMs, value };
}

function rounded(values: readonly number[]): string {
  return Math.round(median(values)).toLocaleString('en-US');
}
