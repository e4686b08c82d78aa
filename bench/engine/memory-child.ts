/**
 * A process that fills an index and tells what memory it takes: started with `--expose-gc` and what
 * `MemorySubject` says as its one argument, it sends a `MemoryUse` to its parent and ends.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import { ShardEngine } from '../../src/engine/shard-engine.js';
import { NO_NETWORK, realEnvironment } from '../../src/node/real-environment.js';
import { defined } from '../../src/shared/assert.js';
import { clusteredVectors } from '../../test/support/vectors.js';
import { BareIndex } from '../harness/bare-index.js';
import { idOfRow } from '../harness/dataset.js';
import { EngineShard, SHARD_GENESIS } from '../harness/engine-shard.js';
import { GRAPH } from './findings.js';

export interface MemorySubject {
  readonly kind: 'bare' | 'engine';
  /** Of an engine: whether it keeps vectors for exact scans. */
  readonly exactCopy: boolean;
  readonly dimension: number;
  readonly records: number;
}

/** Bytes above what the process took before it held any record, but with its buffers filled. */
export interface MemoryUse {
  /** What an engine takes that holds nothing: above a process without one. 0 for the library. */
  readonly emptyBytes: number;
  /** With all records in the graph. */
  readonly settledBytes: number;
  /** The most while they came, heads and pending writes included. */
  readonly fillingPeakBytes: number;
  /** The most while the graph was made anew; absent for the bare library. */
  readonly renewalPeakBytes?: number;
}

/** Vectors that are made at once: garbage stays little. */
const CHUNK_VECTORS = 1_000;
/** A little more than the share of tombstones that lets a graph be made anew. */
const REPLACED_SHARE = 0.22;

/** Inserted into another index before, so that the code is there. */
const WARM_UP_VECTORS = 100;
/** Records of much metadata and little else: they have filled all buffers when they are gone. */
const FILLER = { records: 400, recordsPerEntry: 10, textLength: 60_000 };

const collectGarbage = defined(globalThis.gc, 'gc, with --expose-gc');

function* chunks(dimension: number, records: number): Generator<Float32Array[]> {
  for (let first = 0; first < records; first += CHUNK_VECTORS) {
    const count = Math.min(CHUNK_VECTORS, records - first);
    yield clusteredVectors({ count, dimension, seed: first });
  }
}

/**
 * Memory that holds something: what the kernel gave the process, files that are mapped aside, less
 * the room that V8 keeps for objects to come.
 */
function liveBytes(): number {
  const status = readFileSync('/proc/self/status', 'latin1');
  const anonymousKib = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1]);
  const { heapTotal, heapUsed } = process.memoryUsage();
  return 1_024 * anonymousKib - (heapTotal - heapUsed);
}

/** Watches memory from now on, above what is there after the first vectors were made. */
class Watch {
  readonly #startBytes: number;
  #peakBytes = 0;

  constructor(dimension: number) {
    clusteredVectors({ count: CHUNK_VECTORS, dimension, seed: 0 });
    collectGarbage();
    this.#startBytes = liveBytes();
  }

  /** With garbage. */
  look(): void {
    this.#peakBytes = Math.max(this.#peakBytes, liveBytes() - this.#startBytes);
  }

  /** Without garbage. */
  settledBytes(): number {
    collectGarbage();
    return liveBytes() - this.#startBytes;
  }

  /** Since the last call. */
  takePeakBytes(): number {
    const peakBytes = this.#peakBytes;
    this.#peakBytes = 0;
    return peakBytes;
  }
}

function measureBare({ dimension, records }: MemorySubject): MemoryUse {
  const warmUp = clusteredVectors({ count: WARM_UP_VECTORS, dimension, seed: 1 });
  new BareIndex({ dimension, ...GRAPH, capacity: WARM_UP_VECTORS }).insertAll(warmUp);
  const watch = new Watch(dimension);
  const index = new BareIndex({ dimension, ...GRAPH, capacity: records });
  for (const vectors of chunks(dimension, records)) {
    index.insertAll(vectors);
    watch.look();
    collectGarbage();
  }
  const settledBytes = watch.settledBytes();
  return { emptyBytes: 0, settledBytes, fillingPeakBytes: watch.takePeakBytes() };
}

/** In this thread, where all that it takes can be seen. */
async function measureEngine(subject: MemorySubject): Promise<MemoryUse> {
  const { dimension, records, exactCopy } = subject;
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const outer = new Watch(dimension);
  const environment = realEnvironment(NO_NETWORK);
  const path = join(directory, 'points');
  const shard = new EngineShard(
    new ShardEngine({ environment, path, genesis: SHARD_GENESIS, exactCopy }),
  );
  try {
    await shard.open();
    await shard.createCollection({ dimension, ...GRAPH });
    await fillBuffers(shard, dimension);
    const emptyBytes = outer.settledBytes();
    const watch = new Watch(dimension);
    const look = (): void => watch.look();
    await writeRows(shard, dimension, records, look);
    await shard.settled(look);
    const settledBytes = watch.settledBytes();
    const fillingPeakBytes = watch.takePeakBytes();
    await writeRows(shard, dimension, Math.ceil(REPLACED_SHARE * records), look);
    await shard.settled(look);
    const renewalPeakBytes = watch.takePeakBytes();
    return { emptyBytes, settledBytes, fillingPeakBytes, renewalPeakBytes };
  } finally {
    await shard.close();
    rmSync(directory, { recursive: true });
  }
}

async function fillBuffers(shard: EngineShard, dimension: number): Promise<void> {
  const { records, recordsPerEntry, textLength } = FILLER;
  const metadata = { text: 'x'.repeat(textLength) };
  const values = new Float32Array(dimension);
  const fillers = Array.from({ length: records }, (_, at) => ({ id: `f${at}`, values, metadata }));
  await shard.writeAll(fillers, recordsPerEntry);
  await shard.write({ deletes: fillers.map(({ id }) => id) });
  await shard.settled();
}

async function writeRows(
  shard: EngineShard,
  dimension: number,
  count: number,
  onChunk: () => void,
): Promise<void> {
  let row = 0;
  for (const vectors of chunks(dimension, count)) {
    const records = vectors.map((values) => ({ id: idOfRow(row++), values }));
    await shard.writeAll(records, 100);
    onChunk();
    collectGarbage();
  }
}

const subject = JSON.parse(defined(argv[2], 'the subject')) as MemorySubject;
process.send?.(subject.kind === 'bare' ? measureBare(subject) : await measureEngine(subject));
process.disconnect();
