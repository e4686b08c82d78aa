// Goal: replicas move between nodes while clients work, the leader among them, and nothing is lost,
// doubled or stale (F-14, P-1, P-4, P-6, M1 to M8). Method: four processes, three replicas a shard;
// a shard gets a replica on the free node and loses the one that leads it.
import { expect, it } from 'vitest';
import { runCampaign } from '../support/faults/campaign.js';
import { faultKinds } from '../support/faults/fault-kinds.js';
import { MOVE_LEADER } from '../support/faults/member-faults.js';
import { LoopbackNetwork } from '../support/faults/node-network.js';
import { expectSound } from './sound-campaign.js';

it('loses nothing while replicas move and nodes die (F-14)', async () => {
  const report = await runCampaign({
    seed: 14,
    nodes: 4,
    network: (nodeIds) => LoopbackNetwork.open(nodeIds),
    kinds: [MOVE_LEADER, ...faultKinds('kill-leader')],
    holdMs: [200, 1_000],
  });
  expect(report.records.map(({ kind }) => kind)).toContain('move-leader');
  expectSound(report);
});
