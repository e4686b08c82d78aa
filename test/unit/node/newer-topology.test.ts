// Goal: a node takes a newer topology from whichever voter has it, and nothing else from anybody.
// Method: nodes that answer control requests over the network's twin, in virtual time.
import { afterEach, describe, expect, it } from 'vitest';
import { type ControlHandler, type NodeCard, serveControl } from '../../../src/node/control.js';
import { askForNewerTopology } from '../../../src/node/newer-topology.js';
import { defined } from '../../../src/shared/assert.js';
import type { Environment } from '../../../src/shared/environment.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { createTransport } from '../../../src/transport/peer-transport.js';
import type { Transport } from '../../../src/transport/transport.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { node, seed } from '../topology/topology-fixtures.js';

/** Seven nodes: five vote in the topology. */
const DOCUMENT = initialTopology({
  ...seed(7),
  nodes: [1, 2, 3, 4, 5, 6, 7].map((nodeId) => ({
    ...node(nodeId),
    peerAddress: `host-${nodeId}:7701`,
  })),
});
const [SELF, ...VOTERS] = DOCUMENT.topologyReplicas.flatMap(({ nodeId, learner }) =>
  learner ? [] : [nodeId],
);
const LEARNERS = DOCUMENT.topologyReplicas.flatMap(({ nodeId, learner }) =>
  learner ? [nodeId] : [],
);

function atEpoch(epoch: number, clusterId = DOCUMENT.clusterId): TopologyDocument {
  return { ...DOCUMENT, clusterId, epoch: DOCUMENT.epoch + epoch };
}

let world = new VirtualEnvironment();
let network = new MemoryNetwork({ scheduler: world.scheduler });
let running: Transport[] = [];

afterEach(async () => {
  await world.settle(Promise.all(running.map((transport) => transport.close())));
  world = new VirtualEnvironment();
  network = new MemoryNetwork({ scheduler: world.scheduler });
  running = [];
});

function environmentOf(nodeId: number): Environment {
  const { clock, scheduler, random } = world;
  const parts = { disk: new MemoryDisk(), network: network.host(`host-${nodeId}`) };
  return { clock, scheduler, random, ...parts };
}

/** A node that knows this document; without one it never answers. Counts how often it is asked. */
async function answers(
  nodeId: number,
  document: TopologyDocument | undefined,
): Promise<{ asked: number }> {
  const counts = { asked: 0 };
  const identify = (): NodeCard => ({ node: node(nodeId), genesis: DOCUMENT, document });
  const handler: ControlHandler = { identify, join: async () => identify() };
  const transport = await createTransport({
    environment: environmentOf(nodeId),
    listenAddress: `host-${nodeId}:7701`,
    logger: silentLogger,
    handlers: {
      onMessages: () => undefined,
      onRequest: () => Promise.reject(new Error('not asked here')),
      onPeerUp: () => undefined,
      onPeerDown: () => undefined,
      onPeerRefused: () => undefined,
    },
    onControl: (payload) => {
      counts.asked++;
      return document === undefined
        ? new Promise<never>(() => undefined)
        : serveControl(payload, handler);
    },
  });
  running.push(transport);
  return counts;
}

/** What this node knows after it has asked. */
async function asked(from = DOCUMENT): Promise<TopologyDocument | undefined> {
  const view = new TopologyHolder();
  view.publish(from);
  const nodeId = defined(SELF, 'a voter');
  await world.settle(askForNewerTopology({ nodeId, view, environment: environmentOf(nodeId) }));
  return view.current();
}

describe('a node that asks for a newer topology', () => {
  it('takes the first that is newer, and waits for no voter that is silent or gone', async () => {
    const [silent = 0, old = 0, newer = 0] = VOTERS;
    await answers(silent, undefined);
    await answers(old, atEpoch(0));
    await answers(newer, atEpoch(3));
    const startMs = world.nowMs;
    expect((await asked())?.epoch).toBe(DOCUMENT.epoch + 3);
    expect(world.nowMs - startMs).toBeLessThan(1_000);
  });

  it('asks voters, which a majority of know what has changed, and no others', async () => {
    const counts = new Map<number, { asked: number }>();
    for (const { nodeId } of DOCUMENT.nodes) counts.set(nodeId, await answers(nodeId, atEpoch(0)));
    await asked();
    const hasAsked = [...counts].filter(([, count]) => count.asked > 0).map(([nodeId]) => nodeId);
    expect(hasAsked.sort()).toEqual([...VOTERS].sort());
    expect(LEARNERS).toHaveLength(2);
  });

  it('takes nothing older, and nothing of another cluster at the same address', async () => {
    const [one = 0, other = 0] = VOTERS;
    await answers(one, atEpoch(1));
    await answers(other, atEpoch(9, 'another cluster'));
    expect((await asked(atEpoch(2)))?.epoch).toBe(DOCUMENT.epoch + 2);
  });

  it('ends where nobody answers, and where it belongs to no cluster', async () => {
    for (const nodeId of VOTERS) await answers(nodeId, undefined);
    expect((await asked())?.epoch).toBe(DOCUMENT.epoch);
    expect(world.nowMs).toBeLessThanOrEqual(2_000);
    const view = new TopologyHolder();
    await askForNewerTopology({ nodeId: 1, view, environment: environmentOf(1) });
    expect(view.current()).toBeUndefined();
  });
});
