/** Goal: engines under the eyes of the run. Method: the production engine, in this thread. */
import type { AppliedState, CommandResult } from '../../../src/engine/engine.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { ShardEngine, type ShardEngineOptions } from '../../../src/engine/shard-engine.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import type { ShardWatch, WatchedReplica } from './shard-watch.js';
import type { StackWatch } from './watch.js';

export interface WatchedEngineParts extends Pick<WatchedReplica, 'nodeId' | 'isAlive' | 'canRead'> {
  readonly watch: StackWatch;
  readonly shards: ShardWatch;
}

/** Its graphs are exact ones: they can be saved and loaded, and are the same in every run. */
export class WatchedEngine extends ShardEngine {
  readonly #replica: WatchedReplica;
  readonly #watch: StackWatch;
  readonly #shards: ShardWatch;

  constructor(options: ShardEngineOptions, parts: WatchedEngineParts) {
    super({ ...options, createIndex: (index) => new FlatIndex(index) });
    const { shardId, ownershipVersion } = options.genesis;
    const { nodeId, isAlive, canRead } = parts;
    this.#replica = { engine: this, shardId, nodeId, ownershipVersion, isAlive, canRead };
    this.#watch = parts.watch;
    this.#shards = parts.shards;
  }

  override async open(): Promise<AppliedState> {
    const state = await super.open();
    this.#shards.moved(this.#replica, state.appliedIndex);
    return state;
  }

  override async apply(
    entries: readonly CommittedEntry[],
    lastIndex: number,
  ): Promise<CommandResult[]> {
    this.#shards.applying(this.#replica, entries);
    const results = await super.apply(entries, lastIndex);
    this.#watch.applied(this.#replica, entries, results);
    await this.#shards.applied(this.#replica, entries, results, lastIndex);
    return results;
  }

  override async installSnapshot(path: string): Promise<AppliedState> {
    const state = await super.installSnapshot(path);
    this.#shards.moved(this.#replica, state.appliedIndex);
    return state;
  }

  override close(): Promise<void> {
    this.#shards.closed(this.#replica);
    return super.close();
  }
}
