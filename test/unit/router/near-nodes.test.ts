// Goal: relaxed reads stay in the zone of their router while it serves them (M-14).
// Method: documents with zones; a router with replicas in its zone and elsewhere, in virtual time.
import { describe, expect, it } from 'vitest';
import { NearNodes } from '../../../src/router/near-nodes.js';
import type { Consistency } from '../../../src/shared/consistency.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { genesis } from '../topology/topology-fixtures.js';
import { FakeCluster } from './fake-cluster.js';

/** The next version, with the nodes in these zones; those without an entry name none. */
function zoned(
  document: TopologyDocument,
  zones: Readonly<Record<number, string>>,
): TopologyDocument {
  const nodes = document.nodes.map(({ zone: _, ...node }) => {
    const zone = zones[node.nodeId];
    return zone === undefined ? node : { ...node, zone };
  });
  return { ...document, epoch: document.epoch + 1, nodes };
}

function nearOf(near: NearNodes): number[] {
  return [1, 2, 3, 4].filter((nodeId) => near.has(nodeId));
}

describe('nodes that are near', () => {
  it('are those of the zone that the newest topology has for this node', () => {
    const view = new TopologyHolder();
    const near = new NearNodes(view, 1);
    expect(nearOf(near)).toEqual([]);
    const first = zoned(genesis(), { 1: 'a', 2: 'a', 3: 'b' });
    view.publish(first);
    expect(nearOf(near)).toEqual([1, 2]);
    view.publish(zoned(first, { 1: 'b', 2: 'a', 3: 'b' }));
    expect(nearOf(near)).toEqual([1, 3]);
  });

  it('are those without a zone for a node that names none', () => {
    const view = new TopologyHolder();
    view.publish(zoned(genesis(), { 3: 'b' }));
    expect(nearOf(new NearNodes(view, 1))).toEqual([1, 2]);
  });

  it('are none for a router that is on no node of the topology', () => {
    const view = new TopologyHolder();
    view.publish(genesis());
    expect(nearOf(new NearNodes(view, undefined))).toEqual([]);
    expect(nearOf(new NearNodes(view, 77))).toEqual([]);
  });
});

describe('a router in a zone', () => {
  /** One shard on three of six nodes; the router's has none, but shares a zone with one of them. */
  function zonedCluster() {
    const replicas = new FakeCluster({ shards: 1, nodes: 6 }).replicasOf(0);
    const [nearNodeId = 0, ...farNodeIds] = replicas.map(({ nodeId }) => nodeId);
    const localNodeId =
      [1, 2, 3, 4, 5, 6].find((id) => id !== nearNodeId && !farNodeIds.includes(id)) ?? 0;
    const cluster = new FakeCluster({ shards: 1, nodes: 6, localNodeId });
    const zones = Object.fromEntries(cluster.document.nodes.map(({ nodeId }) => [nodeId, 'far']));
    cluster.view.publish(
      zoned(cluster.document, { ...zones, [localNodeId]: 'here', [nearNodeId]: 'here' }),
    );
    for (const replica of cluster.replicasOf(0)) {
      replica.delayMs = () => 5;
      replica.ageMs = () => 0;
    }
    return { cluster, nearNodeId, farNodeIds };
  }

  async function served(cluster: FakeCluster, count: number, consistency: Consistency) {
    const nodes: number[] = [];
    for (let at = 0; at < count; at++) {
      const work = cluster.router.count('docs', { timeoutMs: 10_000, consistency });
      nodes.push((await cluster.run(work)).served[0]?.nodeId ?? 0);
    }
    return nodes;
  }

  it.each<[string, Consistency]>([
    ['eventual', 'eventual'],
    ['bounded', { boundedMs: 1_000 }],
  ])('has %s reads served there', async (_, consistency) => {
    const { cluster, nearNodeId } = zonedCluster();
    expect(new Set(await served(cluster, 40, consistency))).toEqual(new Set([nearNodeId]));
  });

  it('has them served elsewhere while its zone is silent, and comes back', async () => {
    const { cluster, nearNodeId, farNodeIds } = zonedCluster();
    const near = cluster.replica(0, nearNodeId);
    near.stop();
    const others = await served(cluster, 100, 'eventual');
    expect(others.every((nodeId) => farNodeIds.includes(nodeId))).toBe(true);
    // Now and then one looks whether the zone is well again, not each.
    expect(near.calls.filter((call) => call === 'count').length).toBeLessThan(20);
    near.heal();
    await cluster.environment.advance(2_000);
    await served(cluster, 10, 'eventual');
    expect(new Set(await served(cluster, 20, 'eventual'))).toEqual(new Set([nearNodeId]));
  });
});
