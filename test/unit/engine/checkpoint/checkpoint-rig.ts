/** Engines that write a checkpoint whenever there is something to be written, and tell of it. */
import { setImmediate } from 'node:timers/promises';
import type { CheckpointPolicy } from '../../../../src/engine/checkpoint/checkpoint-policy.js';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import { ShardEngine, type ShardEngineOptions } from '../../../../src/engine/shard-engine.js';
import type { Disk } from '../../../../src/shared/environment.js';
import type { Logger } from '../../../../src/shared/logger.js';
import { engineEnvironment } from '../harness.js';
import { type EngineHarness, GENESIS, ShardDriver } from '../shard-driver.js';

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

export interface CheckpointRig {
  readonly shard: ShardDriver;
  readonly diary: Diary;
  /** The options of engines that are opened from now on. */
  options: Partial<ShardEngineOptions>;
  /** The names in the directory of the first generation's checkpoints, or of another. */
  files(generation?: number): Promise<string[]>;
}

/** A shard below `root`, whose engines are exact, with a checkpoint at each close. */
export function checkpointRig(
  disk: Disk,
  options: Partial<ShardEngineOptions> = {},
  root = 'node',
): CheckpointRig {
  const diary = new Diary();
  const path = `${root}/points`;
  const harness: EngineHarness = {
    disk,
    snapshotPath: (name) => `${root}/${name}`,
    create: () =>
      new ShardEngine({
        environment: engineEnvironment(disk),
        path,
        genesis: GENESIS,
        logger: diary,
        createIndex: (indexOptions) => new FlatIndex(indexOptions),
        checkpoints: AT_CLOSE,
        ...rig.options,
      }),
    cleanup: async () => undefined,
  };
  const rig: CheckpointRig = {
    shard: new ShardDriver(harness),
    diary,
    options,
    files: (generation = 1) => disk.list(`${path}/graphs-${generation}`),
  };
  return rig;
}
