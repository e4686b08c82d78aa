import { Worker } from 'node:worker_threads';
import type { EngineThread } from '../engine/engine-client.js';
import type { EngineThreadData } from '../engine/thread-protocol.js';

/** Starts the thread of an engine, for `ThreadEngine`. Runs compiled code only. */
export function startEngineThread(data: EngineThreadData): EngineThread {
  return new Worker(new URL('./engine-thread.js', import.meta.url), {
    workerData: data,
    // The program's own flags are not for the thread: with `--input-type`, which an evaluated
    // script comes with, no file could be run.
    execArgv: [],
    name: `flotilla-shard-${data.genesis.shardId}`,
  });
}
