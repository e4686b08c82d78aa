/**
 * A shard as it is loaded from one store: what is applied to and read from. A snapshot that is
 * installed loads another one beside it.
 */
import { assert, defined } from '../shared/assert.js';
import { commandVersion } from '../shared/codec/command.js';
import type { Disk } from '../shared/environment.js';
import type { Kv } from '../shared/kv.js';
import { writeSnapshotFile } from '../shared/snapshot-file.js';
import type { CommittedEntry, WrittenSnapshot } from '../shared/state-machine.js';
import type { Version } from '../shared/types.js';
import type {
  AppliedState,
  CommandResult,
  EngineStats,
  Hit,
  ReadScope,
  RecordKey,
  SearchQuery,
  StoredRecord,
} from './engine.js';
import type { VectorIndexFactory } from './index/vector-index.js';
import { PointStore, putLastVersion } from './point-store.js';
import { recordName } from './record-name.js';
import { type Include, RecordView, storedRecord } from './record-view.js';
import { searchCollection } from './search.js';
import { ShardData } from './shard-data.js';
import { type SliceEnvironment, Slices } from './slices.js';
import type { ShardState } from './state-codec.js';
import { Upkeep } from './upkeep.js';
import { WriteBatch } from './write-batch.js';

export interface OpenShardOptions {
  readonly environment: SliceEnvironment;
  readonly kv: Kv;
  /** The state to begin with, checked or made. Throws where the store cannot be this shard's. */
  readonly stateOf: (store: PointStore) => Promise<ShardState>;
  readonly createIndex: VectorIndexFactory;
  /** Whether the graphs are there when it is loaded, or come while it is used already. */
  readonly graphs: 'built' | 'later';
  /** Breaks off what is long: loading and reads. */
  readonly signal: AbortSignal;
  /** Called when work beside the requests fails; the shard cannot go on. */
  readonly onFailure: (error: unknown) => void;
}

export class OpenShard {
  readonly #environment: SliceEnvironment;
  readonly #signal: AbortSignal;
  readonly #store: PointStore;
  readonly #data: ShardData;
  readonly #upkeep: Upkeep;
  #appliedIndex: number;
  #lastVersion: Version;
  /** What the apply call under way has changed and the store does not have yet. */
  #pending: WriteBatch | undefined;
  /** Reads and snapshots under way. */
  readonly #uses = new Set<Promise<unknown>>();

  private constructor(options: OpenShardOptions, store: PointStore, data: ShardData) {
    this.#environment = options.environment;
    this.#signal = options.signal;
    this.#store = store;
    this.#data = data;
    this.#upkeep = new Upkeep({ ...options, store, data });
    this.#appliedIndex = store.appliedIndex();
    this.#lastVersion = store.lastVersion();
  }

  /**
   * Takes the database over, and closes it where it rejects. Reads every record; with its graphs
   * an insert each. Until `later` graphs are built searches are exact scans.
   */
  static async load(options: OpenShardOptions): Promise<OpenShard> {
    const { environment, kv, stateOf, createIndex, graphs, signal } = options;
    const store = new PointStore(kv);
    let data: ShardData | undefined;
    try {
      data = new ShardData(await stateOf(store), createIndex);
      await data.load(store, new Slices(environment, signal), graphs);
      return new OpenShard(options, store, data);
    } catch (error) {
      data?.dispose();
      await store.close();
      throw error;
    }
  }

  get applied(): AppliedState {
    return { appliedIndex: this.#appliedIndex, lastVersion: this.#lastVersion };
  }

  /** Begins the work beside the requests. */
  beginUpkeep(): void {
    this.#upkeep.begin();
  }

  /** See `StateMachine`. What it changed before it rejects is not to be looked at any more. */
  async apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    assert(this.#pending === undefined, 'apply was called while another call was under way');
    this.#assertOrder(entries, lastIndex);
    const batch = new WriteBatch();
    this.#pending = batch;
    const slices = new Slices(this.#environment);
    const results: CommandResult[] = [];
    for (const entry of entries) {
      if (slices.isOver) await slices.pause();
      results.push(this.#data.applyEntry(entry, batch));
      this.#noteVersion(commandVersion(entry.data));
    }
    if (entries.length > 0) putLastVersion(batch, this.#lastVersion);
    await this.#store.commit(batch, lastIndex);
    this.#appliedIndex = lastIndex;
    this.#pending = undefined;
    this.#upkeep.begin();
    return results;
  }

  search(scope: ReadScope, queries: readonly SearchQuery[]): Promise<Hit[][]> {
    return this.#use(async () => {
      const slices = new Slices(this.#environment, this.#signal);
      const hits: Hit[][] = [];
      for (const query of queries) {
        if (slices.isOver) await slices.pause();
        const collection = this.#data.collectionFor(scope);
        const records = new RecordView(this.#store, this.#pending, scope.collectionId);
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
    return this.#use(async () => {
      const { index } = this.#data.collectionFor(scope);
      const names = keys.map(recordName);
      const existing = names.filter((name) => index.has(name));
      const records = new RecordView(this.#store, this.#pending, scope.collectionId);
      const values = await records.read(existing);
      const found = new Map(existing.map((name, at) => [name, values[at]]));
      return names.map((name) => {
        if (!found.has(name)) return undefined;
        const value = defined(found.get(name), `stored record of ${name}`);
        return storedRecord(name, value, include);
      });
    });
  }

  count(scope: ReadScope): number {
    return this.#data.collectionFor(scope).index.size;
  }

  stats(): EngineStats {
    return {
      appliedIndex: this.#appliedIndex,
      ownershipVersion: this.#data.ownershipVersion,
      collections: this.#data.collectionStats(),
      sessions: this.#data.sessions,
    };
  }

  /** See `StateMachine`. `machine` is whose state the file says that it holds. */
  writeSnapshot(disk: Disk, path: string, machine: string): Promise<WrittenSnapshot> {
    return this.#use(async () => {
      assert(this.#pending === undefined, 'writeSnapshot was called while apply was under way');
      const pinned = this.#store.pin();
      try {
        const header = { machine, appliedIndex: pinned.appliedIndex };
        const slices = new Slices(this.#environment, this.#signal);
        return await writeSnapshotFile(disk, path, header, slices.between(pinned.pages()));
      } finally {
        await pinned.close();
      }
    });
  }

  /** Waits for the reads under way, then frees everything. No apply may be under way. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#uses]);
    await this.#upkeep.stop();
    await this.#store.close();
    this.#data.dispose();
  }

  #use<T>(work: () => Promise<T>): Promise<T> {
    const using = work();
    this.#uses.add(using);
    const done = (): void => void this.#uses.delete(using);
    using.then(done, done);
    return using;
  }

  #noteVersion(version: Version): void {
    if (version > this.#lastVersion) this.#lastVersion = version;
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
}
