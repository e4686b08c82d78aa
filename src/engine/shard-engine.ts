/**
 * The engine in the thread that calls it: deterministic over any key-value database.
 *
 * A search sees each entry whole or not at all: an entry changes indexes, collections and the
 * pending batch in one turn, and a read looks at all of them in one turn.
 */
import { defined, InvariantError } from '../shared/assert.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, isFlotillaError, messageOf } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { type Logger, silentLogger } from '../shared/logger.js';
import type { CommittedEntry, WrittenSnapshot } from '../shared/state-machine.js';
import { CHECKPOINT_POLICY, type CheckpointPolicy } from './checkpoint/checkpoint-policy.js';
import type { IndexSettings } from './collection-index.js';
import type {
  AppliedState,
  CommandResult,
  ContentQuery,
  ContentReport,
  Engine,
  EngineStats,
  ExpiredRecords,
  Explanation,
  Hit,
  IndexLibraryStats,
  ReadScope,
  RecordKey,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
  ShardGenesis,
  StoredRecord,
  TenantCount,
  TenantsQuery,
} from './engine.js';
import { type BuiltGeneration, buildGeneration } from './generation-builder.js';
import { Generations, type NewGeneration } from './generations.js';
import { HnswIndex } from './index/hnsw-index.js';
import type { VectorIndexFactory } from './index/vector-index.js';
import { OpenShard, type OpenShardOptions } from './open-shard.js';
import type { NamedHit } from './plain-search.js';
import { type CostModel, calibrate } from './plan/cost-model.js';
import type { PointStore } from './point-store.js';
import type { Include } from './record-view.js';
import type { SessionLimits } from './sessions.js';
import { type GivenUp, Slices } from './slices.js';
import type { ShardState } from './state-codec.js';

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
  /** What searches cost on this machine. @default measured, in a few milliseconds */
  readonly costs?: CostModel;
  /** Whether vectors are kept for exact scans, beside the graph's own. @default true */
  readonly exactCopy?: boolean;
  /** Floats that wait for the graph of a collection at most. @default what LIMITS says */
  readonly headFloatsMax?: number;
  /** Tombstones below which no graph is made anew, whatever share of it they are. @default 64 */
  readonly renewalTombstonesMin?: number;
  /** Whether requests wait for the thread: inserts are then made one by one. @default never */
  readonly requestsWait?: () => boolean;
  /** Called before a step that they would wait for: answers some of them. @default nothing */
  readonly answerWaiting?: () => void;
  /** Called once when the engine has failed, for good: also where nobody waits for an answer. */
  readonly onFailure?: (error: FlotillaError) => void;
  /** What is waited for before applied entries are stored. @default nothing */
  readonly beforeStoring?: () => Promise<void>;
  /** When graphs are written to files, which spare the next open their inserts. */
  readonly checkpoints?: CheckpointPolicy;
  /** Is told what became of them. @default nobody is */
  readonly logger?: Logger;
  /** Taken by a new store, and kept. @default what LIMITS says of sessions */
  readonly sessionLimits?: SessionLimits;
  /** What `stats` says of the library that the graphs are made with. */
  readonly library?: IndexLibraryStats | undefined;
}

const SESSION_LIMITS: SessionLimits = {
  clientsMax: LIMITS.sessionsMax.value,
  requestsMax: LIMITS.sessionRequestsMax.value,
  bytesMax: LIMITS.sessionBytesMax.value,
};

/**
 * Opening reads each stored record once; reads that come before wait for it.
 *
 * A failure of the disk or the graph, damage found by a checksum and a broken invariant are final:
 * the call rejects, and so does every later one. A new engine over the same path starts over from
 * what is stored. Only a snapshot that cannot be written or built leaves everything as it was.
 *
 * Installing a snapshot writes and reads each record once, and needs the disk of both states while
 * it lasts: reads are answered from the old one until the new one takes its place.
 *
 * The graphs are loaded from their checkpoints, or filled, beside the requests, after an open, an
 * install and every entry; what they do not cover yet is searched exactly. Entries wait where more
 * than the head's bound would have to be. A checkpoint that cannot be written, or used, costs the
 * inserts that it would have spared and nothing else.
 */
export class ShardEngine implements Engine {
  readonly #options: ShardEngineOptions;
  readonly #generations: Generations;
  #opening: Promise<void> | undefined;
  /** Reads that came before `open` wait here. */
  readonly #whenOpen: Promise<void>;
  #settleOpen: (opening: Promise<void>) => void = () => undefined;
  #shard: OpenShard | undefined;
  #costs: CostModel | undefined;
  /** The apply or install under way; it never rejects. */
  #changing: Promise<void> | undefined;
  /** The end of a state that a snapshot has replaced; it never rejects. */
  #retiring: Promise<void> = Promise.resolve();
  #failure: FlotillaError | undefined;
  #closing: Promise<void> | undefined;
  /** Aborted by `close`: ends what is long. */
  readonly #stop = new AbortController();

  constructor(options: ShardEngineOptions) {
    this.#options = options;
    this.#costs = options.costs;
    this.#generations = new Generations(options.environment.disk, options.path);
    this.#whenOpen = new Promise((resolve) => {
      this.#settleOpen = resolve;
    });
    // Nobody may be waiting when opening fails.
    this.#whenOpen.catch(() => undefined);
  }

  async open(): Promise<AppliedState> {
    this.#assertUsable();
    if (this.#opening === undefined) {
      this.#opening = this.#open();
      this.#settleOpen(this.#opening);
    }
    await this.#opening;
    return this.#current.applied;
  }

  apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    return this.#change(async () => {
      await this.#whenOpen;
      this.#assertUsable();
      try {
        return await this.#current.apply(entries, lastIndex);
      } catch (error) {
        throw this.#fail(error);
      }
    });
  }

  /**
   * What `search` answers to one query: at once, where it is known in this turn. Throws as it
   * rejects.
   */
  beginSearch(
    scope: ReadScope,
    query: SearchQuery,
    givenUp?: GivenUp,
  ): NamedHit[] | Promise<Hit[]> {
    this.#assertUsable();
    if (this.#shard === undefined) return this.#searchWhenOpen(scope, query, givenUp);
    const fail = (error: unknown): never => {
      throw this.#readFailure(error);
    };
    try {
      const found = this.#shard.beginSearch(scope, query, givenUp);
      return found instanceof Promise ? found.catch(fail) : found;
    } catch (error) {
      return fail(error);
    }
  }

  search(scope: ReadScope, queries: readonly SearchQuery[], givenUp?: GivenUp): Promise<Hit[][]> {
    return this.#read((shard) => shard.search(scope, queries, givenUp));
  }

  fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: Include,
  ): Promise<(StoredRecord | undefined)[]> {
    return this.#read((shard) => shard.fetch(scope, keys, include));
  }

  count(scope: ReadScope, selection: Selection = {}, givenUp?: GivenUp): Promise<number> {
    return this.#read((shard) => shard.count(scope, selection, givenUp));
  }

  scroll(scope: ReadScope, query: ScrollQuery, givenUp?: GivenUp): Promise<ScrollPage> {
    return this.#read((shard) => shard.scroll(scope, query, givenUp));
  }

  explain(scope: ReadScope, query: SearchQuery, givenUp?: GivenUp): Promise<Explanation> {
    return this.#read((shard) => shard.explain(scope, query, givenUp));
  }

  tenants(scope: ReadScope, query: TenantsQuery): Promise<TenantCount[]> {
    return this.#read(async (shard) => shard.tenants(scope, query));
  }

  expired(nowMs: number, limit: number): Promise<readonly ExpiredRecords[]> {
    return this.#read(async (shard) => shard.expired(nowMs, limit));
  }

  contents(query: ContentQuery): Promise<ContentReport> {
    return this.#read((shard) => shard.contents(query));
  }

  stats(): Promise<EngineStats> {
    const { library } = this.#options;
    return this.#read(async (shard) => ({ ...shard.stats(), library }));
  }

  /** A full disk or the like rejects with STORE_POISONED, and the engine goes on. */
  async writeSnapshot(path: string): Promise<WrittenSnapshot> {
    this.#assertUsable();
    await this.#whenOpen;
    this.#assertUsable();
    try {
      const { disk } = this.#options.environment;
      return await this.#current.writeSnapshot(disk, path, this.#machine);
    } catch (error) {
      if (isDamage(error) || error instanceof InvariantError) throw this.#fail(error);
      throw this.#passing(error, 'a snapshot cannot be written');
    }
  }

  installSnapshot(path: string): Promise<AppliedState> {
    return this.#change(async () => {
      if (this.#opening !== undefined) await this.#whenOpen;
      await this.#retiring;
      this.#assertUsable();
      const built = await this.#build(path);
      const next = this.#shard && (await this.#load(built));
      if (next === undefined) await built.kv.close();
      await this.#makeCurrent(built.number, next);
      return { appliedIndex: built.appliedIndex, lastVersion: built.lastVersion };
    });
  }

  /**
   * Waits for the apply call under way, unless that waits for room in a head, and writes the graphs
   * that have changed much since their last checkpoints, unless the engine has failed: a second for
   * a few hundred MiB. All else is broken off. Idempotent.
   */
  close(): Promise<void> {
    this.#stop.abort(closedError());
    this.#closing ??= this.#close();
    return this.#closing;
  }

  get #current(): OpenShard {
    return defined(this.#shard, 'the open shard');
  }

  /** Whose state the snapshots are. */
  get #machine(): string {
    return `shard ${this.#options.genesis.shardId}`;
  }

  async #open(): Promise<void> {
    await this.#changing;
    try {
      this.#assertUsable();
      const { mayBeNew, ...generation } = await this.#generations.open();
      this.#shard = await this.#loadShard(generation, (store) => this.#stateOf(store, mayBeNew));
      if (this.#closing === undefined) this.#shard.beginUpkeep();
    } catch (error) {
      const { shardId } = this.#options.genesis;
      throw this.#fail(error, `the point store of shard ${shardId} cannot be opened`);
    }
  }

  #loadShard(
    { kv, number }: NewGeneration,
    stateOf: OpenShardOptions['stateOf'],
  ): Promise<OpenShard> {
    const { environment, requestsWait = () => false } = this.#options;
    const { answerWaiting = () => undefined } = this.#options;
    const { beforeStoring = async () => undefined } = this.#options;
    const { checkpoints: policy = CHECKPOINT_POLICY, logger = silentLogger } = this.#options;
    const directory = this.#generations.graphsPath(number);
    return OpenShard.load({
      environment,
      kv,
      graphs: { disk: environment.disk, directory, policy },
      logger: logger.child({ shardId: this.#options.genesis.shardId }),
      stateOf,
      indexSettings: this.#indexSettings,
      costs: this.#measuredCosts(),
      requestsWait,
      answerWaiting,
      beforeStoring,
      signal: this.#stop.signal,
      onFailure: (error) => void this.#fail(error),
    });
  }

  /** Takes a few milliseconds the first time. */
  #measuredCosts(): CostModel {
    const { clock } = this.#options.environment;
    this.#costs ??= calibrate(clock, this.#indexSettings.createIndex);
    return this.#costs;
  }

  get #indexSettings(): IndexSettings {
    const {
      createIndex = (options) => new HnswIndex(options),
      exactCopy = true,
      headFloatsMax = LIMITS.headFloatsMax.value,
      renewalTombstonesMin,
    } = this.#options;
    return { createIndex, exactCopy, headFloatsMax, renewalTombstonesMin };
  }

  /** The state of a store; what a new one starts from is made. */
  async #stateOf(store: PointStore, mayBeNew: boolean): Promise<ShardState> {
    const { genesis, sessionLimits = SESSION_LIMITS } = this.#options;
    let state = store.shardState();
    if (state === undefined && mayBeNew) {
      state = { ...genesis, sessionLimits };
      await store.initialize(state);
    }
    if (state === undefined) {
      throw new FlotillaError('LOG_DAMAGED', 'the point store is empty, and it was not when made');
    }
    if (state.shardId !== genesis.shardId) {
      throw new FlotillaError(
        'SETTINGS_MISMATCH',
        `the point store belongs to shard ${state.shardId}, not to ${genesis.shardId}`,
      );
    }
    return state;
  }

  async #build(path: string): Promise<BuiltGeneration> {
    const { environment } = this.#options;
    try {
      return await buildGeneration({
        generations: this.#generations,
        disk: environment.disk,
        path,
        machine: this.#machine,
        slices: new Slices(environment, this.#stop.signal),
      });
    } catch (error) {
      throw this.#passing(error, 'a snapshot cannot be installed');
    }
  }

  async #load(built: BuiltGeneration): Promise<OpenShard> {
    try {
      return await this.#loadShard(built, (store) => this.#stateOf(store, false));
    } catch (error) {
      await this.#generations.discard(built.number);
      throw this.#passing(error, 'a snapshot cannot be loaded');
    }
  }

  /** The point of no return; from here on reads see the new state. */
  async #makeCurrent(number: number, next: OpenShard | undefined): Promise<void> {
    try {
      await this.#generations.commit(number);
    } catch (error) {
      await next?.close({ save: false });
      // Nobody knows which of the two counts now.
      throw this.#fail(error);
    }
    const old = this.#shard;
    this.#shard = next;
    next?.beginUpkeep();
    this.#retiring = this.#retire(old, number);
    if (old === undefined) await this.#retiring;
  }

  /** Ends a state when the last read of it has. */
  async #retire(old: OpenShard | undefined, kept: number): Promise<void> {
    try {
      await old?.close({ save: false });
      await this.#generations.removeAllBut(kept);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #searchWhenOpen(scope: ReadScope, query: SearchQuery, givenUp?: GivenUp): Promise<Hit[]> {
    const [hits] = await this.search(scope, [query], givenUp);
    return defined(hits, 'the hits of the query');
  }

  async #read<T>(read: (shard: OpenShard) => Promise<T>): Promise<T> {
    this.#assertUsable();
    await this.#whenOpen;
    this.#assertUsable();
    try {
      return await read(this.#current);
    } catch (error) {
      throw this.#readFailure(error);
    }
  }

  /** What a read answers that has failed; what is the engine's own fault ends it. */
  #readFailure(error: unknown): FlotillaError {
    return isFlotillaError(error) && !isDamage(error) ? error : this.#fail(error);
  }

  /** Runs what changes the state, one at a time: the caller sees to that. */
  async #change<T>(work: () => Promise<T>): Promise<T> {
    this.#assertUsable();
    if (this.#changing !== undefined) {
      throw this.#fail(new InvariantError('apply or install was called while one was under way'));
    }
    const finish = async (): Promise<T> => {
      try {
        return await work();
      } finally {
        this.#changing = undefined;
      }
    };
    const changing = finish();
    this.#changing = changing.then(ignore, ignore);
    return changing;
  }

  async #close(): Promise<void> {
    if (this.#opening === undefined) this.#settleOpen(Promise.reject(closedError()));
    await this.#opening?.catch(ignore);
    await this.#changing;
    await this.#retiring;
    await this.#shard?.close({ save: this.#failure === undefined });
  }

  #assertUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
  }

  /** The error to answer with; the first one stays the engine's for ever. */
  #fail(error: unknown, context = `the engine of shard ${this.#options.genesis.shardId} stopped`) {
    if (this.#closing !== undefined && this.#failure === undefined) {
      const { logger = silentLogger } = this.#options;
      // Calls that the end breaks off fail with an error of ours.
      if (!isFlotillaError(error)) logger.warn({ error: messageOf(error) }, context);
      return closedError();
    }
    if (this.#failure === undefined) {
      this.#failure = fatalError(error, context);
      this.#options.onFailure?.(this.#failure);
    }
    return this.#failure;
  }

  /** The error to answer with, where the engine goes on. */
  #passing(error: unknown, context: string): FlotillaError {
    return this.#closing === undefined ? fatalError(error, context) : closedError();
  }
}

function ignore(): void {}

function isDamage(error: unknown): boolean {
  return isFlotillaError(error) && error.reason === 'LOG_DAMAGED';
}

function closedError(): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', 'the engine is closed');
}

function fatalError(error: unknown, context: string): FlotillaError {
  if (isFlotillaError(error)) return error;
  const reason = error instanceof InvariantError ? 'INTERNAL' : 'STORE_POISONED';
  return new FlotillaError(reason, `${context}: ${messageOf(error)}`, { cause: error });
}
