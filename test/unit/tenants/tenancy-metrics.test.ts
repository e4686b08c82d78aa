// Goal: how many tenants a shard has, and how many vectors the largest, is there for alerts (M-21).
// Method: an engine in memory behind the metrics of a node, scraped at the limits.
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { EngineStats } from '../../../src/engine/engine.js';
import { NodeMetrics } from '../../../src/node/node-metrics.js';
import type { ReplicaStatus, ShardReplica } from '../../../src/replica/replica.js';
import { ServerMetrics } from '../../../src/server/metrics.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { openShard } from '../engine/harness.js';
import { remove, type ShardDriver, upsert } from '../engine/shard-driver.js';
import { REPLICA_STATUS } from '../replica/replica-status.js';
import { parseMetrics } from '../server/prometheus-text.js';

/** As many records for each tenant as the list says, in a collection. */
function write(shard: ShardDriver, counts: Readonly<Record<string, number>>, collectionId = 1) {
  const operations = Object.entries(counts).flatMap(([tenant, count]) =>
    Array.from({ length: count }, (_, at) => upsert(`r${at}`, [at, 1], { tenant })),
  );
  const scope = { collectionId, ownershipVersion: 7 };
  return shard.apply(shard.writeCommand(operations, {}, scope));
}

const tenants = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`t${at}`, 1]));

/** The two gauges as a node serves them whose replica has this role. */
async function scraped(engine: EngineStats, role: ReplicaStatus['role'] = 'StateLeader') {
  const status: ReplicaStatus = { ...REPLICA_STATUS, groupId: 4, shardId: 3, role, engine };
  const replica: Pick<ShardReplica, 'status'> = { status: async () => status };
  const source = new NodeMetrics({
    view: new TopologyHolder(),
    environment: new VirtualEnvironment(),
    topologyStatus: () => undefined,
    replicas: new Map([[4, replica as ShardReplica]]),
    serving: () => true,
    divergence: () => new Map(),
  });
  const registry = new Registry();
  new ServerMetrics({ registry, version: '1', nodeId: 1 }).watchCluster(source);
  const { series } = parseMetrics(await registry.metrics());
  return {
    tenants: series.get('flotilla_shard_tenants{shard="3"}'),
    vectorsMax: series.get('flotilla_shard_tenant_vectors_max{shard="3"}'),
  };
}

describe('the metrics of a shard with tenants', () => {
  it.each([17, 18, 21])('count %i of them, with no label for any', async (count) => {
    const shard = await openShard({ routing: 'tenant' });
    await write(shard, { ...tenants(count - 1), big: 5 });
    expect(await scraped(await shard.engine.stats())).toEqual({ tenants: count, vectorsMax: 5 });
    await shard.engine.close();
  });

  it('count a tenant once that is in several collections, with all that it has there', async () => {
    const shard = await openShard({ routing: 'tenant' });
    await shard.createCollection({ name: 'more', routing: 'tenant' }, 2);
    await shard.createCollection({ name: 'by-id' }, 3);
    await write(shard, { acme: 3, beta: 4 }, 1);
    await write(shard, { acme: 2, gamma: 1 }, 2);
    await write(shard, { delta: 9 }, 3);
    expect(await scraped(await shard.engine.stats())).toEqual({ tenants: 3, vectorsMax: 5 });
    await shard.engine.close();
  });

  it('forget a tenant whose last record goes, and go on after a restart', async () => {
    const shard = await openShard({ routing: 'tenant' });
    await write(shard, { acme: 1, beta: 2 });
    await shard.write([remove('r0', { tenant: 'acme' })]);
    expect(await scraped(await shard.engine.stats())).toEqual({ tenants: 1, vectorsMax: 2 });
    await shard.reopen();
    expect(await scraped(await shard.engine.stats())).toEqual({ tenants: 1, vectorsMax: 2 });
    await shard.write([remove('r0', { tenant: 'beta' }), remove('r1', { tenant: 'beta' })]);
    expect(await scraped(await shard.engine.stats())).toEqual({ tenants: 0, vectorsMax: 0 });
    await shard.engine.close();
  });

  it('are told by the leader alone, and only where tenants decide on the shard', async () => {
    const none = { tenants: undefined, vectorsMax: undefined };
    const shard = await openShard({ routing: 'tenant' });
    await write(shard, { acme: 1 });
    expect(await scraped(await shard.engine.stats(), 'StateFollower')).toEqual(none);
    await shard.engine.close();
    const other = await openShard();
    await write(other, { acme: 1 });
    expect(await scraped(await other.engine.stats())).toEqual(none);
    await other.engine.close();
  });
});
