/**
 * The engine in the thread that calls it: deterministic over any key-value database.
 *
 * A search sees each entry whole or not at all: an entry changes indexes, collections and the
 * pending batch in one turn, and a read looks at all of them in one turn.
 */
import { assert, defined, InvariantError } from '../shared/assert.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { CommittedEntry } from '../shared/state-machine.js';
import type {
  CommandResult,
  Engine,
  EngineStats,
  Hit,
  ReadScope,
  RecordKey,
  SearchQuery,
  ShardGenesis,
  StoredRecord,
} from './engine.js';
import { HnswIndex } from './index/hnsw-index.js';
import type { VectorIndexFactory } from './index/vector-index.js';
import { PointStore } from './point-store.js';
import { recordName } from './record-name.js';
import { type Include, RecordView, storedRecord } from './record-view.js';
import { searchCollection } from './search.js';
import type { SessionLimits } from './sessions.js';
import { ShardData } from './shard-data.js';
import { Slices } from './slices.js';
import { Upkeep } from './upkeep.js';
import { WriteBatch } from './write-batch.js';

/** What an engine needs of the world. */
export type EngineEnvironment = Pick<Environment, 'clock' | 'scheduler' | 'disk'>;

export interface ShardEngineOptions {
  readonly environment: EngineEnvironment;
  /** Directory of the replica's point store. */
  readonly path: string;
  /** What a new store starts from. An existing one must be of the same shard. */
  readonly genesis: ShardGenesis;
  /** @default HNSW */
  readonly createIndex?: VectorIndexFactory;
  /** Taken by a new store, and kept. @default LIMITS.sessionsMax, LIMITS.sessionRequestsMax */
  readonly sessionLimits?: SessionLimits;
}

const SESSION_LIMITS: SessionLimits = {
  clientsMax: LIMITS.sessionsMax.value,
  requestsMax: LIMITS.sessionRequestsMax.value,
};

/** Reads of values come from here when they are warm; vectors do not compress. */
const KV_OPTIONS = { cacheSizeBytes: 32 * 1024 * 1024, writeBufferSizeBytes: 16 * 1024 * 1024 };

/** What there is once the engine is open. */
interface OpenShard {
  readonly store: PointStore;
  readonly data: ShardData;
  readonly upkeep: Upkeep;
}

/**
 * Opening costs one graph insert a stored record; reads that come before wait for it.
 *
 * A failure of the disk or the graph, damage found by a checksum and a broken invariant are final:
 * the call rejects, and so does every later one. A new engine over the same path starts over from
 * what is stored.
 */
export class ShardEngine implements Engine {
  readonly #options: ShardEngineOptions;
  #opening: Promise<OpenShard> | undefined;
  /** Reads that came before `open` wait here. */
  readonly #whenOpen: Promise<OpenShard>;
  #settleOpen: (shard: OpenShard | Promise<OpenShard>) => void = () => undefined;
  #appliedIndex = 0;
  /** What the apply call under way has changed and the store does not have yet. */
  #pending: WriteBatch | undefined;
  #applying: Promise<unknown> = Promise.resolve();
  #failure: FlotillaError | undefined;
  #closing: Promise<void> | undefined;
  /** Aborted by `close`: ends what is long. */
  readonly #stop = new AbortController();

  constructor(options: ShardEngineOptions) {
    this.#options = options;
    this.#whenOpen = new Promise((resolve) => {
      this.#settleOpen = resolve;
    });
    // Nobody may be waiting when opening fails.
    this.#whenOpen.catch(() => undefined);
  }

  async open(): Promise<{ readonly appliedIndex: number }> {
    this.#assertUsable();
    if (this.#opening === undefined) {
      this.#opening = this.#open();
      this.#settleOpen(this.#opening);
    }
    await this.#opening;
    return { appliedIndex: this.#appliedIndex };
  }

  apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    const applying = this.#apply(entries, lastIndex);
    this.#applying = applying.catch(() => undefined);
    return applying;
  }

  search(scope: ReadScope, queries: readonly SearchQuery[]): Promise<Hit[][]> {
    return this.#read(async ({ data, store }) => {
      const slices = new Slices(this.#options.environment, this.#stop.signal);
      const hits: Hit[][] = [];
      for (const query of queries) {
        if (slices.isOver) await slices.pause();
        const collection = data.collectionFor(scope);
        const records = new RecordView(store, this.#pending, scope.collectionId);
        hits.push(await searchCollection(collection, records, query, slices));
      }
      return hits;
    });
  }

  fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: Include,
  ): Promise<(StoredRecord | undefined)[]> {
    return this.#read(async ({ data, store }) => {
      const { index } = data.collectionFor(scope);
      const names = keys.map(recordName);
      const existing = names.filter((name) => index.has(name));
      const values = await new RecordView(store, this.#pending, scope.collectionId).read(existing);
      const found = new Map(existing.map((name, at) => [name, values[at]]));
      return names.map((name) => {
        if (!found.has(name)) return undefined;
        const value = defined(found.get(name), `stored record of ${name}`);
        return storedRecord(name, value, include);
      });
    });
  }

  count(scope: ReadScope): Promise<number> {
    return this.#read(async ({ data }) => data.collectionFor(scope).index.size);
  }

  stats(): Promise<EngineStats> {
    return this.#read(async ({ data }) => ({
      appliedIndex: this.#appliedIndex,
      ownershipVersion: data.ownershipVersion,
      collections: data.collectionStats(),
      sessions: data.sessions,
    }));
  }

  /** Waits for the apply call under way; reads and loading are broken off. Idempotent. */
  close(): Promise<void> {
    this.#stop.abort(closedError());
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(): Promise<OpenShard> {
    const { environment, path, genesis } = this.#options;
    const store = new PointStore(await environment.disk.openKv(path, KV_OPTIONS));
    try {
      const data = await this.#load(store);
      this.#appliedIndex = store.appliedIndex();
      const onFailure = (error: unknown): void => {
        this.#fail(error);
      };
      const upkeep = new Upkeep({ environment, store, data, onFailure });
      if (this.#closing === undefined) upkeep.begin();
      return { store, data, upkeep };
    } catch (error) {
      await store.close();
      throw this.#fail(error, `the point store of shard ${genesis.shardId} cannot be opened`);
    }
  }

  async #load(store: PointStore): Promise<ShardData> {
    const { environment, genesis, createIndex, sessionLimits } = this.#options;
    let state = store.shardState();
    if (state === undefined) {
      state = { ...genesis, sessionLimits: sessionLimits ?? SESSION_LIMITS };
      await store.initialize(state);
    }
    if (state.shardId !== genesis.shardId) {
      throw new FlotillaError(
        'SETTINGS_MISMATCH',
        `the point store belongs to shard ${state.shardId}, not to ${genesis.shardId}`,
      );
    }
    const data = new ShardData(state, createIndex ?? ((options) => new HnswIndex(options)));
    await data.load(store, new Slices(environment, this.#stop.signal));
    return data;
  }

  async #apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    this.#assertUsable();
    const { data, store, upkeep } = await this.#whenOpen;
    this.#assertUsable();
    try {
      assert(this.#pending === undefined, 'apply was called while another call was under way');
      this.#assertOrder(entries, lastIndex);
      const batch = new WriteBatch();
      this.#pending = batch;
      const slices = new Slices(this.#options.environment);
      const results: CommandResult[] = [];
      for (const entry of entries) {
        if (slices.isOver) await slices.pause();
        results.push(data.applyEntry(entry, batch));
      }
      await store.commit(batch, lastIndex);
      this.#appliedIndex = lastIndex;
      this.#pending = undefined;
      if (this.#closing === undefined) upkeep.begin();
      return results;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** An entry applied twice, or left out, would be a bug of the caller that no replica survives. */
  #assertOrder(entries: readonly CommittedEntry[], lastIndex: number): void {
    let previous = this.#appliedIndex;
    for (const { index } of entries) {
      assert(index > previous, `entry ${index} comes after ${previous}`);
      previous = index;
    }
    assert(lastIndex >= previous, `the last index ${lastIndex} is before ${previous}`);
  }

  async #read<T>(read: (shard: OpenShard) => Promise<T>): Promise<T> {
    this.#assertUsable();
    const shard = await this.#whenOpen;
    this.#assertUsable();
    try {
      return await read(shard);
    } catch (error) {
      if (isFlotillaError(error) && error.reason !== 'LOG_DAMAGED') throw error;
      throw this.#fail(error);
    }
  }

  async #close(): Promise<void> {
    const opening = this.#opening;
    if (opening === undefined) {
      this.#settleOpen(Promise.reject(closedError()));
      return;
    }
    const shard = await opening.catch(() => undefined);
    if (shard === undefined) return;
    await this.#applying;
    await shard.upkeep.stop();
    await shard.store.close();
    shard.data.dispose();
  }

  #assertUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
  }

  /** The error to answer with; the first one stays the engine's for ever. */
  #fail(error: unknown, context = `the engine of shard ${this.#options.genesis.shardId} stopped`) {
    if (this.#closing !== undefined && this.#failure === undefined) return closedError();
    this.#failure ??= fatalError(error, context);
    return this.#failure;
  }
}

function closedError(): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', 'the engine is closed');
}

function fatalError(error: unknown, context: string): FlotillaError {
  if (isFlotillaError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  const reason = error instanceof InvariantError ? 'INTERNAL' : 'STORE_POISONED';
  return new FlotillaError(reason, `${context}: ${message}`, { cause: error });
}
