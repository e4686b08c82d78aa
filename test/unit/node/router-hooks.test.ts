// Goal: what the router repeats and hedges can be seen from outside (M-35).
// Method: the hooks of a node's router, and what is scraped of them.
import { expect, it } from 'vitest';
import { nodeMetrics, routerHooks } from '../../../src/node/endpoints.js';

it('counts repeats by reason and budget, and hedged reads by what became of them', async () => {
  const metrics = nodeMetrics(1);
  const { onRetry, onHedge } = routerHooks(metrics, 1);
  const call = { operation: 'count', shardId: 0 } as const;
  onRetry?.({ ...call, reason: 'NO_LEADER', budget: 'free' });
  onRetry?.({ ...call, reason: 'SILENT', budget: 'spent' });
  for (const result of ['won', 'won', 'denied'] as const) onHedge?.({ ...call, result });
  const text = await metrics.registry.metrics();
  const retries = 'flotilla_router_retries_total';
  expect(text).toContain(`${retries}{reason="NO_LEADER",budget="free"} 1`);
  expect(text).toContain(`${retries}{reason="SILENT",budget="spent"} 1`);
  expect(text).toContain('flotilla_router_hedged_reads_total{result="won"} 2');
  expect(text).toContain('flotilla_router_hedged_reads_total{result="denied"} 1');
});
