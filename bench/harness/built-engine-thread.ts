import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { EngineThread } from '../../src/engine/engine-client.js';
import type { EngineThreadData } from '../../src/engine/thread-protocol.js';

/**
 * The engine thread of the built program: the compiled benchmarks hold only what they import, and
 * nothing imports a thread's entry. Benches are started in the root of the repository.
 */
export function startBuiltEngineThread(data: EngineThreadData): EngineThread {
  return new Worker(resolve('dist/node/engine-thread.js'), { workerData: data, execArgv: [] });
}
