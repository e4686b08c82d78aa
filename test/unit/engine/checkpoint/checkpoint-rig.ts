/** Engines that write a checkpoint whenever there is something to be written, and tell of it. */
import { setImmediate } from 'node:timers/promises';
import type { CheckpointPolicy } from '../../../../src/engine/checkpoint/checkpoint-policy.js';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import type { VectorIndexOptions } from '../../../../src/engine/index/vector-index.js';
import { ShardEngine, type ShardEngineOptions } from '../../../../src/engine/shard-engine.js';
import type { Disk } from '../../../../src/shared/environment.js';
import type { Logger } from '../../../../src/shared/logger.js';
import { COSTS, engineEnvironment } from '../harness.js';
import { GENESIS, ShardDriver, upsert } from '../shard-driver.js';

/** After each insert, and at the end. */
export const ALWAYS: CheckpointPolicy = { insertsMin: 1, closingInsertsMin: 1 };
/** Only when the engine is closed. */
export const AT_CLOSE: CheckpointPolicy = { insertsMin: 1e9, closingInsertsMin: 1 };
export const NEVER: CheckpointPolicy = { insertsMin: 1e9, closingInsertsMin: 1e9 };

export const SAVED = 'a graph is checkpointed';
export const LOADED = 'a graph is loaded';
export const REMOVED = 'the checkpoint of a graph cannot be used: it is removed';
export const NOT_SAVED = 'a graph could not be checkpointed';

/** Keeps what is logged. */
export class Diary implements Logger {
  readonly entries: { readonly message: string; readonly fields: Record<string, unknown> }[] = [];

  debug(): void {}

  info(fields: object, message: string): void {
    this.entries.push({ message, fields: { ...fields } });
  }

  warn(fields: object, message: string): void {
    this.info(fields, message);
  }

  error(fields: object, message: string): void {
    this.info(fields, message);
  }

  child(): Logger {
    return this;
  }

  get messages(): string[] {
    return this.entries.map(({ message }) => message);
  }

  count(message: string): number {
    return this.messages.filter((one) => one === message).length;
  }

  /** Of the last entry with this message. */
  fieldsOf(message: string): Record<string, unknown> {
    return this.entries.findLast((entry) => entry.message === message)?.fields ?? {};
  }

  /** Resolves when there are so many entries with this message. */
  async until(message: string, count = 1): Promise<void> {
    while (this.count(message) < count) await setImmediate();
  }
}

/** How many records `fill` writes. */
export const RECORDS = 40;

/** The ids of the records that `fill` writes, or of so many. */
export const names = (count: number): string[] =>
  Array.from({ length: count }, (_, at) => `r${at}`);

/** Long enough for all that a disk in memory has under way. */
export async function turnsPass(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

/** Exact, and tells of each insert. */
class CountedIndex extends FlatIndex {
  readonly #onInsert: () => void;

  constructor(options: VectorIndexOptions, onInsert: () => void) {
    super(options);
    this.#onInsert = onInsert;
  }

  override add(label: number, vector: Float32Array): void {
    this.#onInsert();
    super.add(label, vector);
  }
}

/** A shard below `root`, whose engines are exact, with a checkpoint at each close. */
export class CheckpointRig {
  readonly shard: ShardDriver;
  readonly diary = new Diary();
  /** The options of engines that are opened from now on. */
  options: Partial<ShardEngineOptions>;
  /** What went into graphs, where the options name no index. */
  inserts = 0;
  readonly #disk: Disk;
  readonly #path: string;

  constructor(disk: Disk, options: Partial<ShardEngineOptions> = {}, root = 'node') {
    this.options = options;
    this.#disk = disk;
    this.#path = `${root}/points`;
    this.shard = new ShardDriver({
      disk,
      snapshotPath: (name) => `${root}/${name}`,
      create: () => this.#createEngine(),
      cleanup: async () => undefined,
    });
  }

  /** The names in the directory of the first generation's checkpoints, or of another. */
  files(generation = 1): Promise<string[]> {
    return this.#disk.list(`${this.#path}/graphs-${generation}`);
  }

  /** Writes `r0`, `r1`, ... at (0, 0), (1, 0), ..., and waits until all are in the graph. */
  async fill(): Promise<void> {
    await this.shard.open();
    await this.shard.createCollection();
    await this.shard.write(names(RECORDS).map((id, at) => upsert(id, [at, 0])));
    await this.shard.settled();
  }

  /** Starts again and waits for the graph; the inserts that this took. */
  async restart(): Promise<number> {
    await this.shard.engine.close();
    return this.start();
  }

  /** The same where no engine runs. */
  async start(): Promise<number> {
    this.inserts = 0;
    await this.shard.open();
    await this.shard.settled();
    return this.inserts;
  }

  /** The ids of all records, nearest to the origin first. */
  allIds(): Promise<string[]> {
    return this.shard.searchIds([0, 0], 100);
  }

  #createEngine(): ShardEngine {
    return new ShardEngine({
      environment: engineEnvironment(this.#disk),
      path: this.#path,
      genesis: GENESIS,
      costs: COSTS,
      logger: this.diary,
      createIndex: (options) =>
        new CountedIndex(options, () => {
          this.inserts++;
        }),
      checkpoints: AT_CLOSE,
      ...this.options,
    });
  }
}
