/** The thread's side: runs the engine behind a message port. */
import { unreachable } from '../shared/assert.js';
import { toFlotillaError } from '../shared/errors.js';
import { type BytePacker, unpack } from './byte-packer.js';
import type { SearchQuery, Selection, StoredRecord } from './engine.js';
import { type EngineEnvironment, ShardEngine } from './shard-engine.js';
import type { GivenUp } from './slices.js';
import { postingLogger } from './thread-log.js';
import { ThreadOutbox } from './thread-outbox.js';
import type {
  EngineAnswer,
  EngineCall,
  EngineThreadData,
  GiveUp,
  Packed,
  PackedQuery,
  PackedSelection,
  ThreadMessage,
} from './thread-protocol.js';

/** What is used of a MessagePort. */
export interface EnginePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  on(event: 'message', listener: (message: ThreadMessage<EngineCall | GiveUp>) => void): unknown;
  close(): void;
}

/** Calls count from 1. */
const NO_CALL = 0;

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
  const { posted, ...options } = data;
  const counter = new Int32Array(posted);
  let taken = 0;
  const requestsWait = (): boolean => Atomics.load(counter, 0) !== taken;
  const outbox = new ThreadOutbox<EngineAnswer>((message, transfer) => {
    port.postMessage(message, transfer);
  });
  const logger = postingLogger((line) => outbox.add(NO_CALL, () => line));
  const engine = new ShardEngine({ environment, ...options, requestsWait, logger });
  const running = new Map<number, RunningCall>();
  const serve = async (id: number, call: EngineCall, bytes: ArrayBuffer): Promise<void> => {
    const givenUp = { aborted: false };
    const calling = callEngine(engine, call, bytes, givenUp);
    const ended = calling
      .catch((error: unknown) => {
        return (): EngineAnswer => ({ kind: 'error', error: toFlotillaError(error).body });
      })
      .then((answer) => {
        running.delete(id);
        outbox.add(id, answer);
      });
    running.set(id, { ended, givenUp });
    await ended;
  };
  const close = async (id: number, call: EngineCall, bytes: ArrayBuffer): Promise<void> => {
    const others = [...running.values()].map(({ ended }) => ended);
    await serve(id, call, bytes);
    await Promise.all(others);
    outbox.flush();
    port.close();
  };
  const giveUp = (id: number): void => {
    const call = running.get(id);
    if (call !== undefined) call.givenUp.aborted = true;
  };
  port.on('message', ({ items, bytes }) => {
    taken = (taken + 1) | 0;
    for (const { id, body } of items) {
      if (body.kind === 'giveUp') giveUp(id);
      else void (body.kind === 'close' ? close : serve)(id, body, bytes);
    }
  });
}

/** Carries the call out, and returns how its answer is packed. */
async function callEngine(
  engine: ShardEngine,
  call: EngineCall,
  bytes: ArrayBuffer,
  givenUp: GivenUp,
): Promise<(packer: BytePacker) => EngineAnswer> {
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
      const hits = await engine.search(call.scope, queries, givenUp);
      return (packer) => ({
        kind: 'search',
        hits: hits.map((list) => list.map((hit) => packRecord(hit, packer))),
      });
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
      const page = await engine.scroll(call.scope, query, givenUp);
      return (packer) => ({
        kind: 'scroll',
        records: page.records.map((record) => packRecord(record, packer)),
        next: page.next,
      });
    }
    case 'explain': {
      const query = unpackQuery(call.query, bytes);
      const explanation = await engine.explain(call.scope, query, givenUp);
      return () => ({ kind: 'explain', explanation });
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
  return { ...rest, vector: unpack(bytes, vector) };
}

function unpackSelection<T extends Selection>(query: PackedSelection<T>, bytes: ArrayBuffer): T {
  const { filter, ...rest } = query;
  return {
    ...rest,
    ...(filter !== undefined && { filter: unpack(bytes, filter) }),
  } as unknown as T;
}

function packRecord<T extends StoredRecord>(record: T, packer: BytePacker): Packed<T> {
  const { values, metadata, ...rest } = record;
  return {
    ...rest,
    ...(values !== undefined && { values: packer.add(values) }),
    ...(metadata !== undefined && { metadata: packer.add(metadata) }),
  };
}
