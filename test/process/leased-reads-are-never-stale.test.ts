// Goal: with leases on, no leased read is older than a write that was acknowledged before it began,
// whoever leads and whenever it wakes up (F-4, F-6, P-4, P-5, R6 to R8). Method: registers whose
// reads are half leased, while leaders stand still, are cut off, stop and die.
import { expect, it } from 'vitest';
import { runCampaign } from '../support/faults/campaign.js';
import { faultKinds } from '../support/faults/fault-kinds.js';
import { openPartitionableNetwork } from '../support/faults/partitions.js';
import { expectSound } from './sound-campaign.js';

it('are never stale, and nothing is lost (F-4)', async () => {
  const report = await runCampaign({
    seed: 4,
    leases: true,
    network: openPartitionableNetwork,
    kinds: faultKinds('pause-leader', 'isolate-leader', 'stop-leader', 'kill-leader'),
    holdMs: [1_500, 2_500],
    restCalls: 80,
  });
  expect(report.records.length).toBeGreaterThan(3);
  expectSound(report);
});
