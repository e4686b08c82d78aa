// Goal: nodes that are restarted one after another cost no client a call, and nothing is lost
// (F-15, P-1). Method: three processes, SIGTERM in turn; all calls of clients that retry succeed.
import { expect, it } from 'vitest';
import { faultKinds } from '../support/faults/all-fault-kinds.js';
import { runCampaign } from '../support/faults/campaign.js';
import { LoopbackNetwork } from '../support/faults/node-network.js';
import { expectSound } from './sound-campaign.js';

it('fails no call of clients that retry (F-15)', async () => {
  const report = await runCampaign({
    seed: 15,
    network: (nodeIds) => LoopbackNetwork.open(nodeIds),
    kinds: faultKinds('rolling-restart'),
    holdMs: [0, 0],
  });
  expectSound(report);
  const { ok, failed, unknown, reasons } = report.totals;
  expect({ failed, unknown, reasons }).toEqual({ failed: 0, unknown: 0, reasons: {} });
  expect(ok).toBeGreaterThan(500);
});
