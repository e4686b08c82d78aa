/** The thread's side: runs the engine behind a message port. */
import { unreachable } from '../shared/assert.js';
import { toFlotillaError } from '../shared/errors.js';
import { type BytePacker, unpack } from './byte-packer.js';
import type { Engine, StoredRecord } from './engine.js';
import { type EngineEnvironment, ShardEngine } from './shard-engine.js';
import { ThreadOutbox } from './thread-outbox.js';
import type {
  EngineAnswer,
  EngineCall,
  EngineThreadData,
  Numbered,
  Packed,
  ThreadMessage,
} from './thread-protocol.js';

/** What is used of a MessagePort. */
export interface EnginePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  on(event: 'message', listener: (message: ThreadMessage<EngineCall>) => void): unknown;
  close(): void;
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
  const engine = new ShardEngine({ environment, ...data });
  const outbox = new ThreadOutbox<EngineAnswer>((message, transfer) => {
    port.postMessage(message, transfer);
  });
  const running = new Set<Promise<void>>();
  const serve = async (call: Numbered<EngineCall>, bytes: ArrayBuffer): Promise<void> => {
    const answer = await callEngine(engine, call.body, bytes).catch((error: unknown) => {
      return (): EngineAnswer => ({ kind: 'error', error: toFlotillaError(error).body });
    });
    outbox.add(call.id, answer);
  };
  const close = async (call: Numbered<EngineCall>, bytes: ArrayBuffer): Promise<void> => {
    const others = [...running];
    await serve(call, bytes);
    await Promise.all(others);
    outbox.flush();
    port.close();
  };
  port.on('message', ({ items, bytes }) => {
    for (const call of items) {
      const serving = call.body.kind === 'close' ? close(call, bytes) : serve(call, bytes);
      running.add(serving);
      void serving.then(() => running.delete(serving));
    }
  });
}

/** Carries the call out, and returns how its answer is packed. */
async function callEngine(
  engine: Engine,
  call: EngineCall,
  bytes: ArrayBuffer,
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
      const queries = call.queries.map((query) => {
        return { ...query, vector: unpack(bytes, query.vector) };
      });
      const hits = await engine.search(call.scope, queries);
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
      const count = await engine.count(call.scope);
      return () => ({ kind: 'count', count });
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

function packRecord<T extends StoredRecord>(record: T, packer: BytePacker): Packed<T> {
  const { values, metadata, ...rest } = record;
  return {
    ...rest,
    ...(values !== undefined && { values: packer.add(values) }),
    ...(metadata !== undefined && { metadata: packer.add(metadata) }),
  };
}
