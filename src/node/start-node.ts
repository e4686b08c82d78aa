/** A node as it runs in production: real clocks and disks, gRPC to others, an engine per thread. */

import type { IndexLibraryStats } from '../engine/engine.js';
import { ThreadEngine } from '../engine/engine-client.js';
import type { InstalledAddon } from '../engine/index/addon.js';
import {
  describeIndexLibrary,
  type IndexLibrary,
  remedyOf,
} from '../engine/index/index-library.js';
import type { Clock, Environment } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import { GrpcNetwork } from '../transport/grpc-network.js';
import type { EngineConfig, NodeConfig } from './config.js';
import { loadLevel } from './level-kv.js';
import { type EngineFactory, Node } from './node.js';
import { realEnvironment } from './real-environment.js';
import { startEngineThread } from './start-engine-thread.js';

export interface StartNodeOptions {
  readonly config: NodeConfig;
  readonly logger: Logger;
}

/**
 * See `Node.start`. Rejects with NATIVE_LIBRARY_MISSING or UNSUPPORTED_PROCESSOR where a library is
 * not there, or cannot run; nothing is written then.
 */
export async function startNode({ config, logger }: StartNodeOptions): Promise<Node> {
  const environment = grpcEnvironment();
  const library = await openLibraries(environment.clock, logger);
  const createEngine = threadEngine(library, config.engine, logger);
  const options = { config, logger, environment, createEngine };
  return Node.start({ ...options, library: libraryStatsOf(library) });
}

/** Before the first file is opened: an open that fails later counts as one that met damage. */
export async function openLibraries(clock: Clock, logger: Logger): Promise<IndexLibrary> {
  const library = openIndexLibrary(clock, logger);
  await loadLevel();
  return library;
}

/**
 * Says what the index library is, and what to do about it. `installed` spares a look at what is
 * installed. Throws NATIVE_LIBRARY_MISSING and UNSUPPORTED_PROCESSOR.
 */
export function openIndexLibrary(
  clock: Clock,
  logger: Logger,
  installed?: InstalledAddon,
): IndexLibrary {
  const library = describeIndexLibrary(clock, installed);
  logger.info({ ...library }, 'the index library is ready');
  const remedy = remedyOf(library);
  if (remedy !== undefined) logger.warn({}, remedy);
  return library;
}

/** The real environment with gRPC links to other processes. */
export function grpcEnvironment(): Environment {
  return realEnvironment((scheduler) => new GrpcNetwork({ scheduler }));
}

/** Engines in threads of their own, whose graphs are made with the library. */
export function threadEngine(
  indexLibrary: IndexLibrary,
  config: EngineConfig,
  logger: Logger,
): EngineFactory {
  const library = libraryStatsOf(indexLibrary);
  return (genesis, directory, onLost) =>
    new ThreadEngine({
      path: directory,
      genesis,
      library,
      logger,
      ...config,
      spawn: startEngineThread,
      onLost,
    });
}

export function libraryStatsOf({ built, distancesPerSecond }: IndexLibrary): IndexLibraryStats {
  return { instructionSet: built, distancesPerSecond };
}
