// Goal: a node takes a newer topology from whichever voter has it, and nothing else from anybody.
// Method: nodes that answer control requests over the network's twin, in virtual time.
import { afterEach, describe, expect, it } from 'vitest';
import { type ControlHandler, type NodeCard, serveControl } from '../../../src/node/control.js';
import { askForNewerTopology } from '../../../src/node/newer-topology.js';
import { defined } from '../../../src/shared/assert.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { node, seed } from '../topology/topology-fixtures.js';
import { ControlNetwork, peerAddressOf } from './control-network.js';

/** Seven nodes: five vote in the topology. */
const DOCUMENT = initialTopology({
  ...seed(7),
  nodes: [1, 2, 3, 4, 5, 6, 7].map((nodeId) => ({
    ...node(nodeId),
    peerAddress: peerAddressOf(nodeId),
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

let lan = new ControlNetwork();

afterEach(async () => {
  await lan.close();
  lan = new ControlNetwork();
});

/** A node that knows this document; without one it never answers. Counts how often it is asked. */
async function answers(
  nodeId: number,
  document: TopologyDocument | undefined,
): Promise<{ asked: number }> {
  const counts = { asked: 0 };
  const identify = (): NodeCard => ({ node: node(nodeId), genesis: DOCUMENT, document });
  const handler: ControlHandler = { identify, join: async () => identify() };
  await lan.listen(nodeId, lan.environmentOf(nodeId), (payload) => {
    counts.asked++;
    return document === undefined
      ? new Promise<never>(() => undefined)
      : serveControl(payload, handler);
  });
  return counts;
}

/** What this node knows after it has asked. */
async function asked(from = DOCUMENT): Promise<TopologyDocument | undefined> {
  const view = new TopologyHolder();
  view.publish(from);
  const nodeId = defined(SELF, 'a voter');
  const environment = lan.environmentOf(nodeId);
  await lan.world.settle(askForNewerTopology({ nodeId, view, environment }));
  return view.current();
}

describe('a node that asks for a newer topology', () => {
  it('takes the first that is newer, and waits for no voter that is silent or gone', async () => {
    const [silent = 0, old = 0, newer = 0] = VOTERS;
    await answers(silent, undefined);
    await answers(old, atEpoch(0));
    await answers(newer, atEpoch(3));
    const startMs = lan.world.nowMs;
    expect((await asked())?.epoch).toBe(DOCUMENT.epoch + 3);
    expect(lan.world.nowMs - startMs).toBeLessThan(1_000);
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
    expect(lan.world.nowMs).toBeLessThanOrEqual(2_000);
    const view = new TopologyHolder();
    await askForNewerTopology({ nodeId: 1, view, environment: lan.environmentOf(1) });
    expect(view.current()).toBeUndefined();
  });
});
