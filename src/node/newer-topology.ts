/**
 * Asking other nodes for a newer topology than this one has: for a node that is told of changes
 * late, although its replica of the topology hears of the leader.
 */
import type { Environment } from '../shared/environment.js';
import type { TopologyHolder } from '../topology/view.js';
import { identify } from './bootstrap.js';

export interface NewerTopologyOptions {
  readonly nodeId: number;
  readonly view: TopologyHolder;
  readonly environment: Environment;
}

/**
 * Asks the voters of the topology, of which a majority knows what has changed: at most five. Hands
 * what each answers to the view, which takes it if it is newer. Resolves with the first that was,
 * or when all have answered or were given up, after two seconds at most; never rejects.
 */
export async function askForNewerTopology({
  nodeId,
  view,
  environment,
}: NewerTopologyOptions): Promise<void> {
  const document = view.current();
  if (document === undefined) return;
  const { clusterId, nodes, topologyReplicas } = document;
  const voters = new Set(topologyReplicas.flatMap((one) => (one.learner ? [] : [one.nodeId])));
  const others = nodes.filter((node) => node.nodeId !== nodeId && voters.has(node.nodeId));
  await new Promise<void>((resolve) => {
    const asked = others.map(async (node) => {
      const card = await identify(environment, node);
      // Somebody else may be at the address by now.
      if (card.document?.clusterId !== clusterId) return;
      if (view.publish(card.document)) resolve();
    });
    void Promise.allSettled(asked).then(() => resolve());
  });
}
