// Goal: late packets and connections that stand still cost time, and neither data nor truth (F-6,
// F-7, F-8). Method: the proxies that stand for network namespaces where there are no rights for
// them: they delay, and hold up one or both directions between nodes.
import { expect, it } from 'vitest';
import { faultKinds } from '../support/faults/all-fault-kinds.js';
import { runCampaign } from '../support/faults/campaign.js';
import { ProxyNetwork } from '../support/faults/proxy-network.js';
import { expectSound } from './sound-campaign.js';

it('loses nothing and lies about nothing (F-8)', async () => {
  const report = await runCampaign({
    seed: 8,
    network: (nodeIds) => ProxyNetwork.open(nodeIds),
    kinds: faultKinds('delay', 'isolate-leader', 'mute-leader', 'bridge'),
    holdMs: [1_000, 2_000],
    restCalls: 50,
  });
  expect(report.records.length).toBe(4);
  expectSound(report);
});
