// Goal: a read that any replica may serve goes to a node that has one, and is not passed on (M-11).
// Method: five nodes, three replicas of each shard; the calls between nodes are counted.
import { Cluster, type Consistency } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../support/wait-until.js';
import { FAST, healthy, recordsFrom } from './harness.js';

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
