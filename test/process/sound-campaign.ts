// Goal: what every run under faults has to show. Method: one list of expectations for all of them.
import { expect } from 'vitest';
import type { CampaignReport } from '../support/faults/campaign.js';

/** What is asked of every run; printed with the figures of the run where it does not hold. */
export function expectSound(report: CampaignReport, replicationFactor = 3): void {
  const { ok, failed, unknown, reasons } = report.totals;
  const figures = JSON.stringify({ ok, failed, unknown, reasons, records: report.records });
  expect(report.violations, figures).toEqual([]);
  expect(report.setCounts[0], 'records of the sets, found and counted').toBe(report.setCounts[1]);
  expect(new Set(report.statusExitCodes), 'exit codes of flotilla status').toEqual(new Set([0]));
  expect(new Set(report.stopExitCodes), 'exit codes of the nodes').toEqual(new Set([0]));
  for (const [shardId, byNode] of report.digests) {
    const seen = { shardId, replicas: byNode.size, different: new Set(byNode.values()).size };
    expect(seen).toEqual({ shardId, replicas: replicationFactor, different: 1 });
  }
}
