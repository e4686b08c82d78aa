// Goal: whatever happens to nodes and to the paths between them, nothing acknowledged is lost, no
// read is stale, and replicas end equal (P-1, P-2, P-4 to P-6; F-1, F-4, F-6, F-7, F-8, F-15).
// Method: registers, sets and lists by clients that retry; a nemesis goes through all faults. More
// rounds with FLOTILLA_MINUTES, others with FLOTILLA_SEED.
import { expect, it } from 'vitest';
import { ALL_FAULT_KINDS, faultKinds } from '../support/faults/all-fault-kinds.js';
import { runCampaign } from '../support/faults/campaign.js';
import type { FaultKind } from '../support/faults/fault-scene.js';
import { openPartitionableNetwork } from '../support/faults/partitions.js';
import { SmallDisk } from '../support/faults/small-disk.js';
import { expectSound } from './sound-campaign.js';

const seed = Number(process.env.FLOTILLA_SEED ?? 1);
const minutes = Number(process.env.FLOTILLA_MINUTES ?? 0);
const timeoutMs = 600_000 + 120_000 * minutes;

/** In a short run: what no other test of this folder causes under the same workloads. */
function withoutOtherTests(kinds: readonly FaultKind[]): FaultKind[] {
  const others = ['rolling-restart', 'stop-leader', 'pause-leader', 'wipe-node'];
  return kinds.filter(({ name }) => !others.includes(name));
}

const isOver = (): (() => boolean) => {
  const endMs = performance.now() + 60_000 * minutes;
  return () => performance.now() >= endMs;
};

it(
  `loses nothing and lies about nothing with three nodes (seed ${seed})`,
  async () => {
    const report = await runCampaign({
      seed,
      network: openPartitionableNetwork,
      kinds: minutes > 0 ? ALL_FAULT_KINDS : withoutOtherTests(ALL_FAULT_KINDS),
      ...(SmallDisk.isAvailable() && { smallDiskMebibytes: 256 }),
      holdMs: [300, 1_000],
      restCalls: 30,
      isOver: isOver(),
    });
    expect(report.records.length).toBeGreaterThan(10);
    expectSound(report);
  },
  timeoutMs,
);

it(
  `loses nothing and lies about nothing with five nodes that fall into parts (seed ${seed})`,
  async () => {
    const report = await runCampaign({
      seed,
      nodes: 5,
      network: openPartitionableNetwork,
      kinds: faultKinds('halves', 'ring', 'bridge', 'isolate-leader'),
      holdMs: [1_000, 2_000],
      restCalls: 50,
      isOver: isOver(),
    });
    expect(report.records.length).toBeGreaterThan(3);
    expectSound(report);
  },
  timeoutMs,
);
