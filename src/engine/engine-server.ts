/** The thread's side: runs the engine behind a message port. */
import { unreachable } from '../shared/assert.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { type BytePacker, unpack } from './byte-packer.js';
import type { Hit, ScrollPage, SearchQuery, Selection, StoredRecord } from './engine.js';
import { type NamedHit, plainHit } from './plain-search.js';
import type { SearchFrame } from './search-frames.js';
import { SearchServer } from './search-lane.js';
import { type EngineEnvironment, ShardEngine } from './shard-engine.js';
import type { GivenUp } from './slices.js';
import { postingLogger } from './thread-log.js';
import { ThreadOutbox } from './thread-outbox.js';
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

/** What is used of a MessagePort. */
export interface EnginePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  on(
    event: 'message',
    listener: (message: ThreadMessage<EngineCall | GiveUpCall> | WakeUp) => void,
  ): unknown;
  close(): void;
}

/** Calls count from 1. */
const NO_CALL = 0;

type PackAnswer = (packer: BytePacker) => EngineAnswer;

interface RunningCall {
  /** Resolves when the call is answered. */
  readonly ended: Promise<void>;
  readonly givenUp: { aborted: boolean };
}

/**
 * Serves the engine of `data` until it is told to close; then nothing keeps the thread alive. The
 * thread must not be ended in any other way: inside the addon that aborts the process.
 */
export function serveEngine(
  port: EnginePort,
  environment: EngineEnvironment,
  data: EngineThreadData,
): void {
  new EngineServer(port, environment, data).serve();
}

class EngineServer {
  readonly #port: EnginePort;
  readonly #engine: ShardEngine;
  readonly #outbox: ThreadOutbox<EngineAnswer>;
  readonly #searches: SearchServer;
  readonly #running = new Map<number, RunningCall>();
  /** Calls of which nobody waits for the answer any more, while searches wait in the lane. */
  readonly #givenUpEarly = new Set<number>();
  /** Messages that were posted to this thread, and how many of them it has. */
  readonly #posted: Int32Array;
  #taken = 0;

  constructor(port: EnginePort, environment: EngineEnvironment, data: EngineThreadData) {
    const { posted, lane, ...options } = data;
    this.#port = port;
    this.#posted = new Int32Array(posted);
    this.#outbox = new ThreadOutbox((message, transfer) => port.postMessage(message, transfer));
    const logger = postingLogger((line) => this.#outbox.add(NO_CALL, () => line));
    const requestsWait = (): boolean => this.#requestsWait;
    this.#engine = new ShardEngine({
      environment,
      ...options,
      requestsWait,
      answerWaiting: () => this.#searches.goFirst(),
      onFailure: ({ body: error }) => this.#outbox.add(NO_CALL, () => ({ kind: 'failed', error })),
      // The answer leaves at the end of the turn; then searches that came meanwhile go first.
      beforeStoring: async () => {
        await new Promise<void>((resolve) => environment.scheduler.soon(resolve));
        this.#searches.goFirst();
      },
      logger,
    });
    this.#searches = new SearchServer(lane, {
      environment,
      search: (frame) => this.#searchNow(frame),
      answer: ({ id }, hits) => this.#outbox.add(id, () => plainAnswer(hits)),
      wakeCaller: () => port.postMessage(WAKE_UP, []),
    });
  }

  serve(): void {
    this.#port.on('message', (message) => {
      this.#taken = (this.#taken + 1) | 0;
      if (message === WAKE_UP) this.#searches.serve();
      else this.#takeAll(message);
    });
  }

  get #requestsWait(): boolean {
    return this.#searches.hasSearches || Atomics.load(this.#posted, 0) !== this.#taken;
  }

  #takeAll({ items, bytes }: ThreadMessage<EngineCall | GiveUpCall>): void {
    for (const { id, body } of items) {
      if (body.kind === 'giveUp') {
        this.#giveUp(id);
        continue;
      }
      // Also those that came later: a call may take as long as some of them.
      this.#searches.goFirst();
      if (body.kind === 'close') void this.#close(id, body, bytes);
      else void this.#run(id, (givenUp) => callEngine(this.#engine, body, bytes, givenUp));
    }
  }

  #giveUp(id: number): void {
    const call = this.#running.get(id);
    if (call !== undefined) call.givenUp.aborted = true;
    // It may lie in the lane still, or be answered already.
    else if (this.#searches.hasSearches) this.#givenUpEarly.add(id);
    else this.#givenUpEarly.clear();
  }

  async #close(id: number, call: EngineCall, bytes: ArrayBuffer): Promise<void> {
    this.#searches.finish();
    const others = [...this.#running.values()].map(({ ended }) => ended);
    await this.#run(id, (givenUp) => callEngine(this.#engine, call, bytes, givenUp));
    await Promise.all(others);
    this.#outbox.flush();
    this.#port.close();
  }

  /** Never rejects. */
  async #run(id: number, call: (givenUp: GivenUp) => Promise<PackAnswer>): Promise<void> {
    const givenUp = { aborted: false };
    await this.#answer(id, givenUp, call(givenUp));
  }

  /** Answers a call that is under way. Never rejects. */
  async #answer(
    id: number,
    givenUp: RunningCall['givenUp'],
    call: Promise<PackAnswer>,
  ): Promise<void> {
    const ended = call
      .catch((error: unknown) => () => errorAnswer(error))
      .then((answer) => {
        this.#running.delete(id);
        this.#outbox.add(id, answer);
      });
    this.#running.set(id, { ended, givenUp });
    await ended;
  }

  /** `undefined` where the search is answered by a message, now or later. */
  #searchNow({ id, scope, query }: SearchFrame): readonly NamedHit[] | undefined {
    try {
      if (this.#givenUpEarly.delete(id)) throw new FlotillaError('CANCELLED', 'given up early');
      const givenUp = { aborted: false };
      const found = this.#engine.beginSearch(scope, query, givenUp);
      if (!(found instanceof Promise)) return found;
      const packed = found.then((hits) => packHits([hits]));
      void this.#answer(id, givenUp, packed);
    } catch (error) {
      this.#outbox.add(id, () => errorAnswer(error));
    }
    return undefined;
  }
}

function errorAnswer(error: unknown): EngineAnswer {
  return { kind: 'error', error: toFlotillaError(error).body };
}

function plainAnswer(hits: readonly NamedHit[]): EngineAnswer {
  return { kind: 'search', hits: [hits.map(plainHit)] };
}

function packHits(hits: readonly (readonly Hit[])[]): PackAnswer {
  return (packer) => ({
    kind: 'search',
    hits: hits.map((list) => list.map((hit) => packRecord(hit, packer))),
  });
}

function packPage({ records, next }: ScrollPage): PackAnswer {
  return (packer) => ({
    kind: 'scroll',
    records: records.map((record) => packRecord(record, packer)),
    next,
  });
}

/** Carries the call out, and returns how its answer is packed. */
async function callEngine(
  engine: ShardEngine,
  call: EngineCall,
  bytes: ArrayBuffer,
  givenUp: GivenUp,
): Promise<PackAnswer> {
  switch (call.kind) {
    case 'open': {
      const applied = await engine.open();
      return () => ({ kind: 'open', applied });
    }
    case 'apply': {
      const entries = call.entries.map((entry) => ({ ...entry, data: unpack(bytes, entry.data) }));
      const results = await engine.apply(entries, call.lastIndex);
      return () => ({ kind: 'apply', results });
    }
    case 'search': {
      const queries = call.queries.map((query) => unpackQuery(query, bytes));
      return packHits(await engine.search(call.scope, queries, givenUp));
    }
    case 'fetch': {
      const records = await engine.fetch(call.scope, call.keys, call.include);
      return (packer) => ({
        kind: 'fetch',
        records: records.map((record) => record && packRecord(record, packer)),
      });
    }
    case 'count': {
      const selection = unpackSelection(call.selection, bytes);
      const count = await engine.count(call.scope, selection, givenUp);
      return () => ({ kind: 'count', count });
    }
    case 'scroll': {
      const query = unpackSelection(call.query, bytes);
      return packPage(await engine.scroll(call.scope, query, givenUp));
    }
    case 'explain': {
      const query = unpackQuery(call.query, bytes);
      const explanation = await engine.explain(call.scope, query, givenUp);
      return () => ({ kind: 'explain', explanation });
    }
    case 'tenants': {
      const tenants = await engine.tenants(call.scope, call.query);
      return () => ({ kind: 'tenants', tenants });
    }
    case 'expired': {
      const expired = await engine.expired(call.nowMs, call.limit);
      return () => ({ kind: 'expired', expired });
    }
    case 'contents': {
      const report = await engine.contents(call.query);
      return () => ({ kind: 'contents', report });
    }
    case 'stats': {
      const stats = await engine.stats();
      return () => ({ kind: 'stats', stats });
    }
    case 'writeSnapshot': {
      const written = await engine.writeSnapshot(call.path);
      return () => ({ kind: 'writeSnapshot', written });
    }
    case 'installSnapshot': {
      const applied = await engine.installSnapshot(call.path);
      return () => ({ kind: 'installSnapshot', applied });
    }
    case 'close':
      await engine.close();
      return () => ({ kind: 'close' });
    default:
      return unreachable(call);
  }
}

function unpackQuery({ vector, ...query }: PackedQuery, bytes: ArrayBuffer): SearchQuery {
  const rest = unpackSelection<Omit<SearchQuery, 'vector'>>(query, bytes);
  return { vector: unpack(bytes, vector), ...rest };
}

function unpackSelection<T extends Selection>(query: PackedSelection<T>, bytes: ArrayBuffer): T {
  const { filter, ...rest } = query;
  return {
    ...rest,
    ...(filter !== undefined && { filter: unpack(bytes, filter) }),
  } as unknown as T;
}

function packRecord<T extends StoredRecord>(record: T, packer: BytePacker): Packed<T> {
  const { values, metadata } = record;
  return {
    ...record,
    ...(values !== undefined && { values: packer.add(values) }),
    ...(metadata !== undefined && { metadata: packer.add(metadata) }),
  };
}
