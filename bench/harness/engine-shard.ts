/** An engine with one collection, and the log that it is fed from: a replica without consensus. */
import { setTimeout as wait } from 'node:timers/promises';
import type { CollectionStats, Engine, Hit, SearchQuery } from '../../src/engine/engine.js';
import { ThreadEngine, type ThreadEngineOptions } from '../../src/engine/engine-client.js';
import { defined } from '../../src/shared/assert.js';
import { floatBytes } from '../../src/shared/bytes.js';
import {
  type Command,
  encodeCommand,
  stampCommand,
  type WriteOperation,
} from '../../src/shared/codec/command.js';
import { encodeStruct, type JsonObject } from '../../src/shared/codec/struct.js';
import type { CollectionConfig } from '../../src/shared/types.js';
import { startBuiltEngineThread } from './built-engine-thread.js';

export const SHARD_GENESIS = { shardId: 1, ownershipVersion: 1, slots: [0] };
const SCOPE = { collectionId: 1, ownershipVersion: 1 };
const SETTLE_POLL_MS = 5;

export interface ShardRecord {
  readonly id: string;
  readonly values: Float32Array;
  readonly metadata?: JsonObject;
}

/** What one entry of the log does; an id is in it once. */
export interface ShardWrite {
  readonly upserts?: readonly ShardRecord[];
  readonly deletes?: readonly string[];
}

export class EngineShard {
  readonly engine: Engine;
  #index = 0;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** With the engine in a thread of its own, as nodes have it. */
  static inThread(
    path: string,
    options: Pick<ThreadEngineOptions, 'exactCopy' | 'headFloatsMax'> = {},
  ): EngineShard {
    const spawn = startBuiltEngineThread;
    return new EngineShard(new ThreadEngine({ spawn, path, genesis: SHARD_GENESIS, ...options }));
  }

  /** Goes on behind what the engine has applied. */
  async open(): Promise<void> {
    const { appliedIndex } = await this.engine.open();
    this.#index = appliedIndex;
  }

  /** The metric is squared Euclidean distance. */
  createCollection(
    config: Pick<CollectionConfig, 'dimension' | 'm' | 'efConstruction'> &
      Partial<Pick<CollectionConfig, 'indexedFields'>>,
  ): Promise<void> {
    return this.#apply({
      kind: 'createCollection',
      collectionId: SCOPE.collectionId,
      config: { name: 'bench', metric: 'l2', indexedFields: [], ...config },
    });
  }

  /** Resolves when the entry is applied and stored. */
  write({ upserts = [], deletes = [] }: ShardWrite): Promise<void> {
    const targets = [...deletes, ...upserts.map(({ id }) => id)];
    const operations = targets.map((id, ordinal): WriteOperation => {
      const target = { ordinal, slot: 0, tenant: '', id };
      const record = upserts[ordinal - deletes.length];
      if (record === undefined) return { kind: 'delete', ...target };
      const metadata = encodeStruct(record.metadata ?? {});
      return { kind: 'upsert', ...target, values: floatBytes(record.values), metadata };
    });
    // Each request forgets the one before: a client that sends one at a time.
    const sequence = this.#index + 1;
    const requestKey = {
      clientId: 'bench',
      clientStampMs: 1,
      sequence,
      lowestUnanswered: sequence,
    };
    return this.#apply({ kind: 'write', ...SCOPE, requestKey, operations });
  }

  /** Writes the records in entries of `recordsPerEntry`, one after the other. */
  async writeAll(records: readonly ShardRecord[], recordsPerEntry: number): Promise<void> {
    for (let at = 0; at < records.length; at += recordsPerEntry) {
      await this.write({ upserts: records.slice(at, at + recordsPerEntry) });
    }
  }

  async search(query: SearchQuery): Promise<Hit[]> {
    const [hits] = await this.engine.search(SCOPE, [query]);
    return defined(hits, 'hits');
  }

  /** Of all records: costs the engine nothing but the call. */
  count(): Promise<number> {
    return this.engine.count(SCOPE);
  }

  async stats(): Promise<CollectionStats> {
    const { collections } = await this.engine.stats();
    return defined(collections[0], 'the collection');
  }

  /** Resolves when every record is in the graph, and it is not being made anew. */
  async settled(onPoll: () => void = () => undefined): Promise<void> {
    for (;;) {
      const { headRows, isRenewing } = await this.stats();
      onPoll();
      if (headRows === 0 && !isRenewing) return;
      await wait(SETTLE_POLL_MS);
    }
  }

  close(): Promise<void> {
    return this.engine.close();
  }

  async #apply(command: Command): Promise<void> {
    const index = ++this.#index;
    const data = encodeCommand(command);
    stampCommand(data, BigInt(index));
    const [result] = await this.engine.apply([{ index, term: 1, data }], index);
    if (result?.kind === 'refused') throw new Error(result.error.message);
  }
}

/** Ids, versions and distances only. */
export function searchQuery(
  vector: Float32Array,
  options: Pick<SearchQuery, 'k' | 'ef'> & Partial<SearchQuery>,
): SearchQuery {
  const bare = { includeValues: false, includeMetadata: false };
  return { vector: floatBytes(vector), ...bare, ...options };
}
