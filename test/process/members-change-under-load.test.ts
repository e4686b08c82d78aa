// Goal: replicas move between nodes while clients work, the leader among them, shards grow to five
// voters, a node comes back empty, and nothing is lost, doubled or stale (F-14, P-1, P-4, P-6, M1,
// M8). Method: five processes, three replicas a shard; then four voters of which two are killed.
import { expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { faultKinds } from '../support/faults/all-fault-kinds.js';
import { runCampaign } from '../support/faults/campaign.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { GROW_VOTERS, MOVE_LEADER } from '../support/faults/member-faults.js';
import { LoopbackNetwork } from '../support/faults/node-network.js';
import { acknowledged } from '../support/faults/workload.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';
import { expectSound } from './sound-campaign.js';

it('loses nothing while replicas move, nodes die and one loses its disk (F-14)', async () => {
  const report = await runCampaign({
    seed: 14,
    nodes: 5,
    network: (nodeIds) => LoopbackNetwork.open(nodeIds),
    kinds: [MOVE_LEADER, GROW_VOTERS, ...faultKinds('wipe-node', 'kill-leader')],
    holdMs: [200, 1_000],
    restCalls: 100,
  });
  const kinds = report.records.map(({ kind }) => kind).sort();
  expect(kinds).toEqual(['grow-voters', 'kill-leader', 'move-leader', 'wipe-node']);
  expectSound(report);
});

it('acknowledges nothing with two of four voters (F-14, M1)', async () => {
  const cluster = await ProcessCluster.start({ nodes: 4, shards: 1 });
  const view = new ClusterView(cluster);
  try {
    await view.client.createCollection({ name: 'records', dimension: 1, metric: 'l2' });
    const holders = (await view.status()).shards[0]?.replicas.map(({ nodeId }) => nodeId) ?? [];
    const newcomer = cluster.nodeIds.find((nodeId) => !holders.includes(nodeId)) as number;
    await view.client.addReplica({ shardId: 0, nodeId: newcomer });
    await waitUntil('the fourth replica votes', async () => {
      const { shards, healthy } = await view.status();
      return healthy && shards[0]?.change === undefined && shards[0]?.replicas.length === 4;
    });
    const leader = await view.leaderOf(0);
    const [left = 0, ...killed] = cluster.nodeIds.filter((nodeId) => nodeId !== leader);
    await Promise.all(killed.map((nodeId) => cluster.kill(nodeId)));

    const survivors = new Flotilla(
      [leader, left].map((nodeId) => cluster.clientAddress(nodeId)),
      { routing: 'proxy' },
    );
    const write = (value: number) =>
      survivors.collection('records').upsert([{ id: 'a', values: [value] }], { timeoutMs: 3_000 });
    // A quorum of two would take these at once, from a leader and a follower that see one another.
    const early = await Promise.allSettled([1, 2, 3].map((value) => acknowledged(write(value))));
    expect(early.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);

    cluster.startNode(killed[0] as number);
    await waitUntil('three of four acknowledge', async () => {
      await acknowledged(write(4));
      return true;
    });
    await survivors.close();
  } finally {
    await view.close();
    await cluster.destroy();
  }
});
