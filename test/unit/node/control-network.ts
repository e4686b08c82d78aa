/** Goal: nodes that ask each other who they are. Method: the network's twin, in virtual time. */
import type { Environment } from '../../../src/shared/environment.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { createTransport, type TransportOptions } from '../../../src/transport/peer-transport.js';
import type { Transport } from '../../../src/transport/transport.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

/** Where the node listens for others. */
export const peerAddressOf = (nodeId: number): string => `host-${nodeId}:7701`;

export class ControlNetwork {
  readonly world = new VirtualEnvironment();
  readonly network = new MemoryNetwork({ scheduler: this.world.scheduler });
  readonly #listening: Transport[] = [];

  /** On a host, and with an empty disk, of its own. */
  environmentOf(nodeId: number): Environment {
    const { clock, scheduler, random } = this.world;
    const parts = { disk: new MemoryDisk(), network: this.network.host(`host-${nodeId}`) };
    return { clock, scheduler, random, ...parts };
  }

  /** From now on the node answers control requests, and nothing else. */
  async listen(
    nodeId: number,
    environment: Environment,
    onControl: TransportOptions['onControl'],
  ): Promise<Transport> {
    const transport = await createTransport({
      environment,
      listenAddress: peerAddressOf(nodeId),
      logger: silentLogger,
      handlers: {
        onMessages: () => undefined,
        onRequest: () => Promise.reject(new Error('not asked here')),
        onPeerUp: () => undefined,
        onPeerDown: () => undefined,
        onPeerRefused: () => undefined,
      },
      onControl,
    });
    this.#listening.push(transport);
    return transport;
  }

  async close(): Promise<void> {
    await this.world.settle(Promise.all(this.#listening.map((transport) => transport.close())));
  }
}
