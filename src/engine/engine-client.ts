/** The engine in a thread of its own, as the rest of the node uses it. */
import { defined } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import { type Logger, silentLogger } from '../shared/logger.js';
import type { CommittedEntry, WrittenSnapshot } from '../shared/state-machine.js';
import { type BytePacker, unpack } from './byte-packer.js';
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
import type { PlainHit } from './plain-search.js';
import type { Include } from './record-view.js';
import { newSearchLane, SearchCaller } from './search-lane.js';
import { writeLine } from './thread-log.js';
import { type Post, ThreadOutbox } from './thread-outbox.js';
import {
  type EngineAnswer,
  type EngineCall,
  type EngineThreadData,
  type GiveUpCall,
  type Packed,
  type PackedQuery,
  type PackedSelection,
  type ThreadMessage,
  WAKE_UP,
  type WakeUp,
} from './thread-protocol.js';

/** What is used of a Worker. It is never terminated: inside the addon that aborts the process. */
export interface EngineThread {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  on(event: 'message', listener: (message: ThreadMessage<EngineAnswer> | WakeUp) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: (exitCode: number) => void): unknown;
}

export interface ThreadEngineOptions extends Omit<EngineThreadData, 'posted' | 'lane'> {
  /** Starts a thread that runs `serveEngine` with the data. Called once, by the constructor. */
  readonly spawn: (data: EngineThreadData) => EngineThread;
  /** Called if the engine fails, or its thread ends without having been closed. */
  readonly onLost?: (error: FlotillaError) => void;
  /** See `ShardEngineOptions`. */
  readonly logger?: Logger;
}

const NO_BYTES = new ArrayBuffer(0);

type AnswerOf<Kind extends EngineCall['kind']> = Extract<EngineAnswer, { kind: Kind }>;

interface Waiting {
  readonly resolve: (answer: EngineAnswer, bytes: ArrayBuffer) => void;
  readonly reject: (error: FlotillaError) => void;
}

/**
 * Behaves as `ShardEngine`. When the thread ends unexpectedly, everything under way and everything
 * later rejects with STORE_POISONED.
 */
export class ThreadEngine implements Engine {
  readonly #options: ThreadEngineOptions;
  readonly #outbox: ThreadOutbox<EngineCall | GiveUpCall>;
  readonly #searches: SearchCaller;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  #lastId = 0;
  /** What the thread died of, where it told. */
  #threadError: unknown;
  /** Why no call is taken any more. */
  #ended: FlotillaError | undefined;
  #closing: Promise<void> | undefined;
  #closeAnswered = false;

  constructor(options: ThreadEngineOptions) {
    this.#options = options;
    // Functions do not cross to another thread.
    const { spawn, onLost: _onLost, logger: _logger, ...data } = options;
    const posted = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const counter = new Int32Array(posted);
    const lane = newSearchLane();
    const thread = spawn({ ...data, posted, lane });
    const post: Post = (message, transfer) => {
      // The thread looks at it between two inserts, where messages cannot reach it.
      Atomics.add(counter, 0, 1);
      thread.postMessage(message, transfer);
    };
    this.#outbox = new ThreadOutbox(post);
    this.#searches = new SearchCaller(lane, () => post(WAKE_UP, []));
    thread.on('message', (message) => {
      if (message === WAKE_UP) this.#searches.receive((id, hits) => this.#onHits(id, hits));
      else this.#onMessage(message);
    });
    thread.on('error', (error) => {
      this.#threadError = error;
    });
    this.#exited = new Promise((resolve) => {
      thread.on('exit', (exitCode) => {
        this.#onExit(exitCode);
        resolve();
      });
    });
  }

  async open(): Promise<AppliedState> {
    const { answer } = await this.#call('open', () => ({ kind: 'open' }));
    return answer.applied;
  }

  async apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<CommandResult[]> {
    const { answer } = await this.#call('apply', (packer) => ({
      kind: 'apply',
      entries: entries.map(({ index, term, data }) => ({ index, term, data: packer.add(data) })),
      lastIndex,
    }));
    return [...answer.results];
  }

  async search(
    scope: ReadScope,
    queries: readonly SearchQuery[],
    givenUp?: GiveUpSignal,
  ): Promise<Hit[][]> {
    const pack = (packer: BytePacker) =>
      ({
        kind: 'search',
        scope,
        queries: queries.map((query) => packQuery(query, packer)),
      }) as const;
    const send = (id: number): boolean => this.#searches.send(id, scope, queries);
    const { answer, bytes } = await this.#call('search', pack, givenUp, send);
    return answer.hits.map((hits) => hits.map((hit) => unpackRecord<Hit>(hit, bytes)));
  }

  async fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: Include,
  ): Promise<(StoredRecord | undefined)[]> {
    const call = { kind: 'fetch', scope, keys, include } as const;
    const { answer, bytes } = await this.#call('fetch', () => call);
    return answer.records.map((record) => record && unpackRecord<StoredRecord>(record, bytes));
  }

  async count(
    scope: ReadScope,
    selection: Selection = {},
    givenUp?: GiveUpSignal,
  ): Promise<number> {
    const pack = (packer: BytePacker) =>
      ({ kind: 'count', scope, selection: packSelection(selection, packer) }) as const;
    const { answer } = await this.#call('count', pack, givenUp);
    return answer.count;
  }

  async scroll(scope: ReadScope, query: ScrollQuery, givenUp?: GiveUpSignal): Promise<ScrollPage> {
    const pack = (packer: BytePacker) =>
      ({ kind: 'scroll', scope, query: packSelection(query, packer) }) as const;
    const { answer, bytes } = await this.#call('scroll', pack, givenUp);
    const { records, next } = answer;
    return {
      records: records.map((record) => unpackRecord<StoredRecord>(record, bytes)),
      ...(next !== undefined && { next }),
    };
  }

  async explain(
    scope: ReadScope,
    query: SearchQuery,
    givenUp?: GiveUpSignal,
  ): Promise<Explanation> {
    const pack = (packer: BytePacker) =>
      ({ kind: 'explain', scope, query: packQuery(query, packer) }) as const;
    const { answer } = await this.#call('explain', pack, givenUp);
    return answer.explanation;
  }

  async tenants(scope: ReadScope, query: TenantsQuery): Promise<TenantCount[]> {
    const call = { kind: 'tenants', scope, query } as const;
    return [...(await this.#call('tenants', () => call)).answer.tenants];
  }

  async expired(nowMs: number, limit: number): Promise<readonly ExpiredRecords[]> {
    const { answer } = await this.#call('expired', () => ({ kind: 'expired', nowMs, limit }));
    return answer.expired;
  }

  async contents(query: ContentQuery): Promise<ContentReport> {
    const { answer } = await this.#call('contents', () => ({ kind: 'contents', query }));
    return answer.report;
  }

  async stats(): Promise<EngineStats> {
    const { answer } = await this.#call('stats', () => ({ kind: 'stats' }));
    return answer.stats;
  }

  async writeSnapshot(path: string): Promise<WrittenSnapshot> {
    const { answer } = await this.#call('writeSnapshot', () => ({ kind: 'writeSnapshot', path }));
    return answer.written;
  }

  async installSnapshot(path: string): Promise<AppliedState> {
    const call = { kind: 'installSnapshot', path } as const;
    const { answer } = await this.#call('installSnapshot', () => call);
    return answer.applied;
  }

  /** Resolves when the thread has ended. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#ended === undefined) {
      const closed = this.#call('close', () => ({ kind: 'close' }));
      this.#ended = new FlotillaError('NODE_NOT_READY', 'the engine is closed');
      await closed;
      this.#closeAnswered = true;
    }
    await this.#exited;
  }

  /** `send` may find a shorter way for the call than a message. */
  #call<Kind extends EngineCall['kind']>(
    kind: Kind,
    pack: (packer: BytePacker) => Extract<EngineCall, { kind: Kind }>,
    givenUp?: GiveUpSignal,
    send: (id: number) => boolean = () => false,
  ): Promise<{ answer: AnswerOf<Kind>; bytes: ArrayBuffer }> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (givenUp?.aborted) return Promise.reject(new FlotillaError('CANCELLED', 'given up early'));
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, {
        resolve: (answer, bytes) => {
          if (isAnswer(answer, kind)) resolve({ answer, bytes });
          else if (answer.kind === 'error') reject(FlotillaError.fromBody(answer.error));
          else reject(new FlotillaError('INTERNAL', `${answer.kind} answers ${kind}`));
        },
        reject,
      });
      if (!send(id)) this.#outbox.add(id, pack);
      givenUp?.addEventListener('abort', () => this.#giveUp(id), { once: true });
    });
  }

  /** The call still gets an answer, mostly an error. */
  #giveUp(id: number): void {
    if (this.#waiting.has(id)) this.#outbox.add(id, () => ({ kind: 'giveUp' }));
  }

  #onMessage({ items, bytes }: ThreadMessage<EngineAnswer>): void {
    for (const { id, body } of items) {
      if (body.kind === 'log') {
        writeLine(this.#options.logger ?? silentLogger, body);
      } else if (body.kind === 'failed') {
        this.#options.onLost?.(FlotillaError.fromBody(body.error));
      } else {
        this.#answer(id, body, bytes);
      }
    }
  }

  #onHits(id: number, hits: readonly PlainHit[]): void {
    this.#answer(id, { kind: 'search', hits: [hits] }, NO_BYTES);
  }

  #answer(id: number, answer: EngineAnswer, bytes: ArrayBuffer): void {
    const waiting = defined(this.#waiting.get(id), 'the call that is answered');
    this.#waiting.delete(id);
    waiting.resolve(answer, bytes);
  }

  #onExit(exitCode: number): void {
    if (this.#closeAnswered) return;
    const cause = this.#threadError;
    const why = cause instanceof Error ? cause.message : `exit code ${exitCode}`;
    const { shardId } = this.#options.genesis;
    const message = `the engine thread of shard ${shardId} ended: ${why}`;
    const error = new FlotillaError('STORE_POISONED', message, { cause });
    this.#ended = error;
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    this.#options.onLost?.(error);
  }
}

function isAnswer<Kind extends EngineCall['kind']>(
  answer: EngineAnswer,
  kind: Kind,
): answer is AnswerOf<Kind> {
  return answer.kind === kind;
}

function packQuery(query: SearchQuery, packer: BytePacker): PackedQuery {
  return { ...packSelection(query, packer), vector: packer.add(query.vector) };
}

function packSelection<T extends Selection>(query: T, packer: BytePacker): PackedSelection<T> {
  const { filter, ...rest } = query;
  return { ...rest, ...(filter !== undefined && { filter: packer.add(filter) }) };
}

function unpackRecord<T extends StoredRecord>(record: Packed<T>, bytes: ArrayBuffer): T {
  if (record.values === undefined && record.metadata === undefined) return record as unknown as T;
  const { values, metadata } = record;
  return {
    ...record,
    ...(values !== undefined && { values: unpack(bytes, values) }),
    ...(metadata !== undefined && { metadata: unpack(bytes, metadata) }),
  } as unknown as T;
}
