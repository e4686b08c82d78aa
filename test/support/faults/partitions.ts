/** The network for tests that cut nodes off. */
import { NamespaceNetwork } from './namespace-network.js';
import type { NodeNetwork } from './node-network.js';
import { ProxyNetwork } from './proxy-network.js';

/** Namespaces where this process may make them, else proxies. */
export async function openPartitionableNetwork(nodeIds: readonly number[]): Promise<NodeNetwork> {
  return NamespaceNetwork.isAvailable()
    ? new NamespaceNetwork(nodeIds)
    : ProxyNetwork.open(nodeIds);
}
