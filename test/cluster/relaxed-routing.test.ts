// Goal: a read that any replica may serve goes to a node that has one, and is not passed on (M-11).
// Method: five nodes, three replicas of each shard; the calls between nodes are counted. Six nodes
// in three zones; answers tell which nodes have served.
import { Cluster, type Consistency, type Flotilla } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, healthy, recordsFrom } from './harness.js';

const CALLS = 40;
const NODES = 5;
const IDS = recordsFrom(0, CALLS).map(({ id }) => id);

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: NODES, shards: 4, replicationFactor: 3 });
  const client = cluster.client();
  await healthy(client, NODES);
  const rows = await client.openCollection({ name: 'rows', dimension: 4, metric: 'l2' });
  await rows.upsert(recordsFrom(0, CALLS));
});
afterAll(() => cluster.stop());

/** What nodes asked shards for fetches, by where the replica was. */
async function fetchCalls(): Promise<{ asked: number; hops: number }> {
  const sum = { asked: 0, hops: 0 };
  for (const { http } of cluster.addresses) {
    const text = await (await fetch(`http://${http}/metrics`)).text();
    const calls = /flotilla_shard_calls_total\{operation="fetch",place="(\w+)"\} (\d+)/g;
    for (const [, place, count] of text.matchAll(calls)) {
      sum.asked += Number(count);
      if (place === 'remote') sum.hops += Number(count);
    }
  }
  return sum;
}

describe('a client with routing "direct"', () => {
  it.each<[string, Consistency]>([
    ['eventual', 'eventual'],
    ['bounded', { boundedMs: 60_000 }],
    ['session', 'session'],
  ])('makes %s fetches of one record without a hop', async (_, consistency) => {
    const rows = cluster.client({ routing: 'direct' }).collection('rows');
    const nodes = new Set<number>();
    const costOfAll = async () => {
      const before = await fetchCalls();
      for (const id of IDS) {
        const onServed = (served: readonly { nodeId: number }[]): void => {
          for (const { nodeId } of served) nodes.add(nodeId);
        };
        expect(await rows.fetch([id], { consistency, onServed })).toHaveLength(1);
      }
      const after = await fetchCalls();
      return { asked: after.asked - before.asked, hops: after.hops - before.hops };
    };
    await waitUntil('no call is passed on', async () => (await costOfAll()).hops === 0);
    nodes.clear();
    // Replicas share the calls: also nodes that lead nothing have their part.
    await waitUntil('every node has served some', async () => {
      expect(await costOfAll()).toEqual({ asked: CALLS, hops: 0 });
      return nodes.size === NODES;
    });
  });
});

describe('reads that any replica may serve, in three zones', () => {
  const zones = ['a', 'b', 'c', 'a', 'b', 'c'];
  const nodesIn = (zone: string): number[] =>
    zones.flatMap((one, at) => (one === zone ? [at + 1] : []));

  async function start(): Promise<Cluster> {
    // On a machine that is slow for a moment a hedge would leave the zone.
    const options = { nodes: zones.length, shards: 4, zones, hedgedReads: false };
    const zoned = await Cluster.start({ ...FAST, ...options });
    const client = zoned.client();
    await healthy(client, zones.length);
    const rows = await client.openCollection({ name: 'rows', dimension: 4, metric: 'l2' });
    await rows.upsert(recordsFrom(0, CALLS));
    return zoned;
  }

  /** Nodes that have served an eventual fetch of each record. */
  async function served(client: Flotilla): Promise<number[]> {
    const nodes = new Set<number>();
    for (const id of IDS) {
      const onServed = (shards: readonly { nodeId: number }[]): void => {
        for (const { nodeId } of shards) nodes.add(nodeId);
      };
      await client.collection('rows').fetch([id], { consistency: 'eventual', onServed });
    }
    return [...nodes].sort((a, b) => a - b);
  }

  it("stay in the client's zone while it has a node, and go on elsewhere (M-14)", async () => {
    await using zoned = await start();
    const client = zoned.client({ zone: 'b' });
    const isIn = (nodes: readonly number[]) => (nodeId: number) => nodes.includes(nodeId);
    await waitUntil('only the zone of the client serves', async () => {
      return (await served(client)).every(isIn(nodesIn('b')));
    });
    for (const nodeId of nodesIn('b')) await zoned.stopNode(nodeId);
    await waitUntil('the other zones serve', async () => {
      const nodes = await served(client);
      return nodes.length > 0 && nodes.every(isIn([...nodesIn('a'), ...nodesIn('c')]));
    });
  });

  it('stay in the zone of the node that is asked, for clients that go by no zone', async () => {
    await using zoned = await start();
    for (const nodeId of nodesIn('c')) {
      const client = clientOf(zoned, nodeId);
      // A node that has just started may not have reached the other one of its zone.
      await waitUntil('only its zone serves', async () => {
        return (await served(client)).every((one) => nodesIn('c').includes(one));
      });
      await client.close();
    }
  });
});
