/** Goal: engines under the eyes of the run. Method: the production engine, in this thread. */
import type { AppliedState, CommandResult, Hit, ScrollPage } from '../../../src/engine/engine.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { ShardEngine, type ShardEngineOptions } from '../../../src/engine/shard-engine.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
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
    const { genesis } = options;
    const { nodeId, isAlive, canRead } = parts;
    this.#replica = { engine: this, genesis, nodeId, isAlive, canRead };
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
    const { genesis, nodeId } = this.#replica;
    this.#watch.applied({ shardId: genesis.shardId, nodeId }, entries, results);
    await this.#shards.applied(this.#replica, entries, results, lastIndex);
    return results;
  }

  override search(...args: Parameters<ShardEngine['search']>): Promise<Hit[][]> {
    return this.#noted(super.search(...args));
  }

  override count(...args: Parameters<ShardEngine['count']>): Promise<number> {
    return this.#noted(super.count(...args));
  }

  override scroll(...args: Parameters<ShardEngine['scroll']>): Promise<ScrollPage> {
    return this.#noted(super.scroll(...args));
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

  /** Counts the reads that are refused because their router had an older table. */
  #noted<T>(read: Promise<T>): Promise<T> {
    read.catch((error: unknown) => {
      const isStale = isFlotillaError(error) && error.reason === 'STALE_TOPOLOGY';
      if (isStale) this.#shards.ownership.staleReads++;
    });
    return read;
  }
}
