/**
 * A shard as it is loaded from one store: what is applied to and read from. A snapshot that is
 * installed loads another one beside it.
 */
import { assert, defined } from '../shared/assert.js';
import type { Disk } from '../shared/environment.js';
import type { Kv } from '../shared/kv.js';
import type { Logger } from '../shared/logger.js';
import { writeSnapshotFile } from '../shared/snapshot-file.js';
import type { CommittedEntry, WrittenSnapshot } from '../shared/state-machine.js';
import type { Version } from '../shared/types.js';
import type { CheckpointPolicy } from './checkpoint/checkpoint-policy.js';
import { Checkpoints } from './checkpoint/checkpoints.js';
import type { Collection } from './collection.js';
import type { IndexSettings } from './collection-index.js';
import type {
  AppliedState,
  CollectionStats,
  CommandResult,
  ContentFault,
  ContentQuery,
  ContentReport,
  EngineStats,
  ExpiredRecords,
  Explanation,
  Hit,
  ReadScope,
  RecordKey,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
  StoredRecord,
  TenantCount,
  TenantsQuery,
} from './engine.js';
import { Mover } from './mover.js';
import { PendingWrites } from './pending-writes.js';
import type { NamedHit } from './plain-search.js';
import type { CostModel } from './plan/cost-model.js';
import type { SearchMeans } from './plan/planned-search.js';
import { PointStore, putLastVersion } from './point-store.js';
import { ReadTurns } from './read-turns.js';
import { type RecordName, recordName } from './record-name.js';
import { type Include, RecordView, storedRecord } from './record-view.js';
import { countCollection, scrollCollection } from './scroll.js';
import { ScrollOrder } from './scroll-order.js';
import { beginSearch, explainSearch, searchCollection } from './search.js';
import { readEntry, ShardData } from './shard-data.js';
import { type GivenUp, type SliceEnvironment, Slices } from './slices.js';
import type { ShardState } from './state-codec.js';
import { tenancyOf } from './tenancy.js';
import { Upkeep } from './upkeep.js';
import { deepCheck } from './writes/deep-check.js';

export interface CheckpointPlace {
  readonly disk: Disk;
  readonly directory: string;
  readonly policy: CheckpointPolicy;
}

export interface OpenShardOptions {
  readonly environment: SliceEnvironment;
  readonly kv: Kv;
  /** Where the checkpoints of its graphs are, or go. */
  readonly graphs: CheckpointPlace;
  readonly logger: Logger;
  /** The state to begin with, checked or made. Throws where the store cannot be this shard's. */
  readonly stateOf: (store: PointStore) => Promise<ShardState>;
  readonly indexSettings: IndexSettings;
  readonly costs: CostModel;
  /** Whether requests wait for the thread. */
  readonly requestsWait: () => boolean;
  readonly answerWaiting: () => void;
  /** See `PendingWrites`. */
  readonly beforeStoring: () => Promise<void>;
  /** Breaks off what is long: loading, reads, and waiting for room in a head. */
  readonly signal: AbortSignal;
  /** Called when work beside the requests fails; the shard cannot go on. */
  readonly onFailure: (error: unknown) => void;
}

export class OpenShard {
  readonly #environment: SliceEnvironment;
  readonly #signal: AbortSignal;
  readonly #costs: CostModel;
  readonly #store: PointStore;
  readonly #data: ShardData;
  readonly #scrollOrder = new ScrollOrder();
  readonly #upkeep: Upkeep;
  readonly #mover: Mover;
  readonly #checkpoints: Checkpoints;
  #appliedIndex: number;
  #lastVersion: Version;
  readonly #pending: PendingWrites;
  readonly #turns: ReadTurns;
  /** Reads, snapshots and checks under way. */
  readonly #uses = new Set<Promise<unknown>>();
  /** How many of them nobody waits for as for a read. */
  #longUses = 0;

  private constructor(options: OpenShardOptions, store: PointStore, data: ShardData) {
    this.#environment = options.environment;
    this.#signal = options.signal;
    this.#costs = options.costs;
    this.#store = store;
    this.#data = data;
    this.#pending = new PendingWrites({
      store,
      beforeStoring: options.beforeStoring,
      onFailure: (error) => {
        // An apply call may wait for the mover.
        this.#mover.fail(error);
        options.onFailure(error);
      },
    });
    this.#turns = new ReadTurns(options.environment.scheduler);
    this.#upkeep = new Upkeep({ ...options, store });
    this.#mover = new Mover({
      ...options,
      recordsOf: ({ collectionId }) => this.#records(collectionId),
      // A commit or a read of the store that ends during a slice would wait for the end of it.
      requestsWait: () => this.#isBusy || options.requestsWait(),
      answerWaiting: options.answerWaiting,
      onSlice: (worked) => this.#checkpoints.wake(worked),
    });
    this.#checkpoints = new Checkpoints({
      ...options,
      ...options.graphs,
      collections: () => data.collections(),
      collection: (collectionId) => data.collection(collectionId),
      appliedIndex: () => this.#appliedIndex,
      onThaw: (collection) => this.#mover.wake([collection]),
    });
    this.#appliedIndex = store.appliedIndex();
    this.#lastVersion = store.lastVersion();
  }

  /**
   * Takes the database over, and closes it where it rejects. Reads every record; the graphs are
   * loaded or filled while it is used, and until then searches are exact.
   */
  static async load(options: OpenShardOptions): Promise<OpenShard> {
    const { environment, kv, stateOf, indexSettings, signal } = options;
    const store = new PointStore(kv);
    let data: ShardData | undefined;
    try {
      data = new ShardData(await stateOf(store), indexSettings);
      await data.load(store, new Slices(environment, signal));
      const shard = new OpenShard(options, store, data);
      await shard.#checkpoints.open();
      return shard;
    } catch (error) {
      data?.dispose();
      await store.close();
      throw error;
    }
  }

  get applied(): AppliedState {
    return { appliedIndex: this.#appliedIndex, lastVersion: this.#lastVersion };
  }

  /** Begins the work beside the requests that what was loaded gives. */
  beginUpkeep(): void {
    this.#takeUpkeep()();
  }

  /**
   * See `StateMachine`. Waits between entries for room in the heads (P-10). What it changed before
   * it rejects is not to be looked at any more.
   */
  async apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    const batch = this.#pending.begin();
    this.#assertOrder(entries, lastIndex);
    const slices = new Slices(this.#environment);
    const results: CommandResult[] = [];
    for (const committed of entries) {
      if (slices.isOver) await slices.pause();
      const entry = readEntry(committed);
      const full = this.#data.withoutRoomFor(entry);
      if (full !== undefined) {
        // Its rows may be of the call before, of which the mover hears when that is stored.
        this.#mover.wake([full]);
        await this.#mover.until(() => this.#data.withoutRoomFor(entry) === undefined);
      }
      results.push(this.#data.apply(entry, batch, (id, name) => this.#records(id).readNow(name)));
      this.#noteVersion(entry.version);
    }
    this.#data.finish(batch);
    if (entries.length > 0) putLastVersion(batch, this.#lastVersion);
    await this.#pending.handOver(lastIndex, this.#takeUpkeep());
    this.#appliedIndex = lastIndex;
    return results;
  }

  /** See `beginSearch` of the collection's searches. Throws as reads reject. */
  beginSearch(
    scope: ReadScope,
    query: SearchQuery,
    givenUp?: GivenUp,
  ): NamedHit[] | Promise<Hit[]> {
    const collection = this.#data.collectionFor(scope);
    const found = beginSearch(collection, query, () =>
      this.#searchMeans(scope, this.#readSlices(givenUp)),
    );
    return found instanceof Promise ? this.#use(() => found) : found;
  }

  search(scope: ReadScope, queries: readonly SearchQuery[], givenUp?: GivenUp): Promise<Hit[][]> {
    return this.#use(async () => {
      const slices = this.#readSlices(givenUp);
      const hits: Hit[][] = [];
      for (const query of queries) {
        if (slices.isOver) await slices.pause();
        const collection = this.#data.collectionFor(scope);
        hits.push(await searchCollection(collection, query, this.#searchMeans(scope, slices)));
      }
      return hits;
    });
  }

  explain(scope: ReadScope, query: SearchQuery, givenUp?: GivenUp): Promise<Explanation> {
    return this.#read(scope, givenUp, (collection, means) =>
      explainSearch(collection, query, means, this.#environment.clock),
    );
  }

  fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: Include,
  ): Promise<(StoredRecord | undefined)[]> {
    return this.#use(async () => {
      const { index } = this.#data.collectionOf(scope, keys);
      const names = keys.map(recordName);
      const existing = names.filter((name) => index.has(name));
      const values = await this.#records(scope.collectionId).read(existing);
      const found = new Map(existing.map((name, at) => [name, values[at]]));
      return names.map((name) => {
        if (!found.has(name)) return undefined;
        const value = defined(found.get(name), `stored record of ${name}`);
        return storedRecord(name, value, include);
      });
    });
  }

  count(scope: ReadScope, selection: Selection, givenUp?: GivenUp): Promise<number> {
    return this.#read(scope, givenUp, (collection, means) =>
      countCollection(collection, selection, means),
    );
  }

  scroll(scope: ReadScope, query: ScrollQuery, givenUp?: GivenUp): Promise<ScrollPage> {
    return this.#read(scope, givenUp, (collection, means) =>
      scrollCollection(collection, query, means, this.#scrollOrder),
    );
  }

  /** Throws as reads reject. */
  tenants(scope: ReadScope, { after, limit }: TenantsQuery): TenantCount[] {
    return this.#data.collectionFor(scope).payload.tenantsAfter(after, limit);
  }

  expired(nowMs: number, limit: number): readonly ExpiredRecords[] {
    return this.#data.expired(nowMs, limit);
  }

  contents({ mark, deep }: ContentQuery): Promise<ContentReport> {
    const contents = mark === undefined ? this.#data.contentsNow() : this.#data.contentsAt(mark);
    return this.#useLong(async () => {
      const faults = deep ? await this.#deepCheck() : [];
      return { faults, ...(contents !== undefined && { contents }) };
    });
  }

  stats(): EngineStats {
    return {
      appliedIndex: this.#appliedIndex,
      ownershipVersion: this.#data.ownershipVersion,
      collections: this.#collectionStats(),
      sessions: this.#data.sessions,
      costs: this.#costs.factors,
      tenancy: tenancyOf(this.#data.collections()),
    };
  }

  /**
   * See `StateMachine`. `machine` is whose state the file says that it holds. Takes the graphs
   * along of which there are fresh checkpoints; those that are not are saved first, where they can.
   */
  writeSnapshot(disk: Disk, path: string, machine: string): Promise<WrittenSnapshot> {
    return this.#useLong(async () => {
      const pinned = await this.#pending.pin();
      try {
        // Pinned before: what a graph saved later knows beyond the view counts for nobody (H6).
        if (this.#checkpoints.areOutdated) await this.#checkpoints.freshen();
        this.#signal.throwIfAborted();
        const header = { machine, appliedIndex: pinned.appliedIndex };
        return await this.#checkpoints.withFresh((files) => {
          const slices = new Slices(this.#environment, this.#signal);
          const pages = slices.between(pinned.pages());
          return writeSnapshotFile(disk, path, header, pages, files);
        });
      } finally {
        await pinned.close();
      }
    });
  }

  /**
   * Waits for the reads under way, then frees everything; with `save` writes the graphs before that
   * are worth it. No apply may be under way.
   */
  async close({ save }: { readonly save: boolean }): Promise<void> {
    await this.#mover.stop();
    await Promise.allSettled([...this.#uses]);
    const isStored = await this.#pending.settled();
    await this.#upkeep.stop();
    await this.#checkpoints.close({ save: save && isStored });
    await this.#store.close();
    this.#data.dispose();
  }

  /** Whether a call is under way that goes on in this turn, or when the store has answered. */
  get #isBusy(): boolean {
    const reads = this.#uses.size - this.#longUses;
    return !this.#pending.isEmpty || reads > this.#turns.waiting;
  }

  /** Of an entry that is half applied the hash says nothing. */
  #collectionStats(): readonly CollectionStats[] {
    const collections = this.#data.collectionStats();
    if (!this.#pending.isApplying) return collections;
    return collections.map(({ contentHash: _, ...stats }) => stats);
  }

  async #deepCheck(): Promise<ContentFault[]> {
    const pinned = this.#store.pin();
    try {
      return await deepCheck(pinned, new Slices(this.#environment, this.#signal));
    } finally {
      await pinned.close();
    }
  }

  /** Reads a collection in slices. */
  #read<T>(
    scope: ReadScope,
    givenUp: GivenUp | undefined,
    read: (collection: Collection, means: SearchMeans) => Promise<T>,
  ): Promise<T> {
    return this.#use(async () => {
      const slices = this.#readSlices(givenUp);
      return read(this.#data.collectionFor(scope), this.#searchMeans(scope, slices));
    });
  }

  #searchMeans({ collectionId }: ReadScope, slices: Slices): SearchMeans {
    return { records: this.#records(collectionId), slices, costs: this.#costs };
  }

  #records(collectionId: number): RecordView {
    const pendingOf = (name: RecordName) => this.#pending.recordOf(collectionId, name);
    return new RecordView(this.#store, pendingOf, collectionId);
  }

  #readSlices(givenUp: GivenUp | undefined): Slices {
    return new Slices(this.#environment, this.#signal, givenUp, this.#turns.begin(givenUp));
  }

  /** As `#use`, of what goes on beside all else. */
  #useLong<T>(work: () => Promise<T>): Promise<T> {
    this.#longUses++;
    return this.#use(work).finally(() => this.#longUses--);
  }

  #use<T>(work: () => Promise<T>): Promise<T> {
    const using = work();
    this.#uses.add(using);
    const done = (): void => void this.#uses.delete(using);
    using.then(done, done);
    return using;
  }

  /**
   * Takes the work beside the requests that is due for what was applied by now. The function that
   * begins it is to be called when that is stored.
   */
  #takeUpkeep(): () => void {
    const dropped = this.#data.takeUnerased();
    const changed = [...this.#data.takeChanged()];
    return () => {
      for (const collectionId of dropped) this.#checkpoints.dropped(collectionId);
      if (dropped.length > 0) this.#scrollOrder.forgetDropped();
      this.#upkeep.erase(dropped);
      this.#checkpoints.wake(changed);
      this.#mover.wake(changed);
    };
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
