/** The ways to run an engine in tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type EngineThread, ThreadEngine } from '../../../src/engine/engine-client.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import type { VectorIndexFactory } from '../../../src/engine/index/vector-index.js';
import { calibrate } from '../../../src/engine/plan/cost-model.js';
import { type EngineEnvironment, ShardEngine } from '../../../src/engine/shard-engine.js';
import type { EngineThreadData } from '../../../src/engine/thread-protocol.js';
import { RealDisk } from '../../../src/node/real-disk.js';
import type { Clock, Disk, Scheduler } from '../../../src/shared/environment.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import { type EngineHarness, GENESIS, ShardDriver } from './shard-driver.js';

/** Each look at it costs a millisecond, so that work pauses often and always at the same places. */
function steppingClock(): Clock {
  let nowMs = 0;
  return { wallMs: () => nowMs, monotonicMs: () => ++nowMs };
}

const scheduler: Scheduler = {
  // What an engine does when it has rested for long has tests of its own.
  after: () => ({ cancel: () => undefined }),
  every: () => {
    throw new Error('engines do nothing by the clock');
  },
  soon: (task) => {
    setImmediate(task);
  },
};

export function engineEnvironment(disk: Disk): EngineEnvironment {
  return { clock: steppingClock(), scheduler, disk };
}

/** What every engine of this environment would measure. */
export const COSTS = calibrate(steppingClock(), (options) => new FlatIndex(options));

export interface MemoryHarness extends EngineHarness {
  readonly disk: MemoryDisk;
  readonly path: string;
  /** The database of a replica that has installed no snapshot yet. */
  readonly storePath: string;
  crash(keepBatches: number): Promise<void>;
}

/** In this thread, in memory; a crash loses what was not synced. */
export async function memoryHarness(createIndex?: VectorIndexFactory): Promise<MemoryHarness> {
  const disk = new MemoryDisk();
  const path = 'points';
  return {
    disk,
    path,
    storePath: `${path}/points-1`,
    snapshotPath: (name) => `snapshots/${name}`,
    create: (options) =>
      new ShardEngine({
        environment: engineEnvironment(disk),
        path,
        genesis: GENESIS,
        costs: COSTS,
        ...options,
        ...(createIndex !== undefined && { createIndex }),
      }),
    crash: async (keepBatches) => disk.crash(keepBatches),
    cleanup: async () => undefined,
  };
}

/** A shard with an empty collection, in memory unless it is told where. */
export async function openShard(
  config: Partial<CollectionConfig> = {},
  harness?: EngineHarness,
): Promise<ShardDriver> {
  const shard = new ShardDriver(harness ?? (await memoryHarness()));
  await shard.open();
  await shard.createCollection(config);
  return shard;
}

/** In this thread, on LevelDB. */
export async function levelHarness(): Promise<EngineHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-engine-'));
  const disk = new RealDisk();
  const environment = engineEnvironment(disk);
  const path = join(directory, 'points');
  return {
    disk,
    snapshotPath: (name) => join(directory, name),
    create: (options) =>
      new ShardEngine({ environment, path, genesis: GENESIS, costs: COSTS, ...options }),
    cleanup: () => rm(directory, { recursive: true }),
  };
}

/** The compiled thread: vitest runs sources, a worker needs files that Node itself can load. */
export function spawnThread(data: EngineThreadData): EngineThread {
  const entry = new URL('../../../dist/node/engine-thread.js', import.meta.url);
  return new Worker(entry, { workerData: data });
}

/** In a worker thread, on LevelDB. */
export async function threadHarness(): Promise<EngineHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-engine-'));
  const path = join(directory, 'points');
  return {
    disk: new RealDisk(),
    snapshotPath: (name) => join(directory, name),
    create: (options) =>
      new ThreadEngine({ spawn: spawnThread, path, genesis: GENESIS, ...options }),
    cleanup: () => rm(directory, { recursive: true }),
  };
}
