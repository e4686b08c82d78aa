// Goal: with leases on, no leased read is older than a write that was acknowledged before it began,
// whoever leads, whenever it wakes up and whatever its clock says (F-4 to F-6, P-4, P-5, R6 to R9).
// Method: registers whose reads are half leased, while leaders stand still, are cut off, stop and
// die, while wall clocks jump, and while the clocks of one node run faster than the others.
import { describe, expect, it } from 'vitest';
import { faultKinds } from '../support/faults/all-fault-kinds.js';
import { runCampaign } from '../support/faults/campaign.js';
import { FakeClocks } from '../support/faults/fake-clocks.js';
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

describe.runIf(FakeClocks.isAvailable())('with wrong clocks (libfaketime)', () => {
  it('are never stale while wall clocks jump by a minute (F-5)', async () => {
    const report = await runCampaign({
      seed: 5,
      leases: true,
      clocks: 'jumping',
      network: openPartitionableNetwork,
      kinds: faultKinds('clock-ahead', 'clock-behind', 'cut-off-behind', 'cut-off-others-ahead'),
      holdMs: [1_500, 2_500],
      restCalls: 80,
    });
    expect(report.records).toHaveLength(4);
    expectSound(report);
  });

  it('are never stale while one node runs 1.1 times as fast as the others (F-5)', async () => {
    const report = await runCampaign({
      seed: 6,
      leases: true,
      clocks: { 1: 1, 2: 1.1, 3: 1 },
      network: openPartitionableNetwork,
      kinds: faultKinds('isolate-leader', 'pause-leader', 'isolate-leader', 'kill-leader'),
      holdMs: [1_500, 2_500],
      restCalls: 80,
    });
    expect(report.records).toHaveLength(4);
    expectSound(report);
  });
});
