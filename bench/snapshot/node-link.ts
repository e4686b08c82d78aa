/** One end of the link between the two processes of the benchmark, as nodes have it. */
import { realEnvironment } from '../../src/node/real-environment.js';
import { silentLogger } from '../../src/shared/logger.js';
import { GrpcNetwork } from '../../src/transport/grpc-network.js';
import { createTransport } from '../../src/transport/peer-transport.js';
import type { Transport, TransportHandlers } from '../../src/transport/transport.js';

export const SOURCE_NODE = 1;
export const TARGET_NODE = 2;
export const GROUP_ID = 1;

export const environment = realEnvironment((scheduler) => new GrpcNetwork({ scheduler }));

/** Listens on a port of its own choice; whom it knows it is told by `meet`. */
export function openTransport(onRequest: TransportHandlers['onRequest']): Promise<Transport> {
  return createTransport({
    environment,
    listenAddress: '127.0.0.1:0',
    logger: silentLogger,
    onControl: async (payload) => payload,
    handlers: {
      onMessages: () => undefined,
      onRequest,
      onPeerUp: () => undefined,
      onPeerDown: () => undefined,
      onPeerRefused: (_nodeId, error) => {
        throw error;
      },
    },
  });
}

export function meet(transport: Transport, nodeId: number, other: string): void {
  const otherId = nodeId === SOURCE_NODE ? TARGET_NODE : SOURCE_NODE;
  const storeId = (id: number): string => `store-${id}`;
  transport.configure({ clusterId: 'bench', nodeId, storeId: storeId(nodeId), incarnation: 1 }, [
    { nodeId: otherId, address: other, storeId: storeId(otherId) },
  ]);
}
