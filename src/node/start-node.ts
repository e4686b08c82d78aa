/** A node as it runs in production: real clocks and disks, gRPC to others, an engine per thread. */

import { ThreadEngine } from '../engine/engine-client.js';
import type { Environment } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import { GrpcNetwork } from '../transport/grpc-network.js';
import type { NodeConfig } from './config.js';
import { type EngineFactory, Node } from './node.js';
import { realEnvironment } from './real-environment.js';
import { startEngineThread } from './start-engine-thread.js';

export interface StartNodeOptions {
  readonly config: NodeConfig;
  readonly logger: Logger;
}

/** See `Node.start`. */
export function startNode({ config, logger }: StartNodeOptions): Promise<Node> {
  const environment = grpcEnvironment();
  return Node.start({ config, logger, environment, createEngine: threadEngine });
}

/** The real environment with gRPC links to other processes. */
export function grpcEnvironment(): Environment {
  return realEnvironment((scheduler) => new GrpcNetwork({ scheduler }));
}

/** An engine in a thread of its own. */
export const threadEngine: EngineFactory = (genesis, directory, onLost) =>
  new ThreadEngine({ path: directory, genesis, spawn: startEngineThread, onExit: onLost });
