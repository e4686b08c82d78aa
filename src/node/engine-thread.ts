/**
 * The entry of an engine's thread: builds its world and serves its engine over the port that the
 * thread was born with. Started by `startEngineThread`, nowhere else.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { serveEngine } from '../engine/engine-server.js';
import type { EngineThreadData } from '../engine/thread-protocol.js';
import { defined } from '../shared/assert.js';
import { NO_NETWORK, realEnvironment } from './real-environment.js';
import { failWhenAddonIdle } from './thread-failure.js';

const port = defined(parentPort, 'the port of the engine thread');
failWhenAddonIdle(port);
// Only the node's main thread speaks to other nodes.
serveEngine(port, realEnvironment(NO_NETWORK), workerData as EngineThreadData);
